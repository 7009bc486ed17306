_base_ = [
    '../_base_/models/clustermamba_upernet.py',
    '../_base_/datasets/vaihingen_512px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

# RoMA's checkpoint: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/roma-b_192px/epoch_400.pth',
            prefix='backbone.',
        )
    ),
)
