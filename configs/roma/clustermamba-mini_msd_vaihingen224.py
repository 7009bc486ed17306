_base_ = [
    '../_base_/models/clustermamba-mini_msd.py',
    '../_base_/datasets/vaihingen224.py',
    '../_base_/schedules/unetmamba_adamw_scratch.py',
    '../_base_/segmentation_runtime.py',
]

# RoMA's checkpoint: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/roma-mini_ucmerced-96px/epoch_100.pth',
            prefix='backbone.',
        )
    ),
)
