_base_ = [
    '../_base_/models/clustermamba-b_linear.py',
    '../_base_/datasets/ucmerced-half_224px.py',
    '../_base_/schedules/linear-probe_adamw.py',
    '../_base_/default_runtime.py',
]

# RoMA's checkpoint: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/roma-b_192px/epoch_400.pth',
            prefix='backbone.',
        )
    ),
    head=dict(num_classes={{_base_.data_preprocessor.num_classes}}),
)
