_base_ = [
    '../_base_/models/clustermamba-mini_linear_96px.py',
    '../_base_/datasets/synthetic_scenes_96px.py',
    '../_base_/schedules/linear-probe_adamw.py',
    '../_base_/default_runtime.py',
]

# RoMA's checkpoint: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/roma-mini_synthetic-96px/epoch_100.pth',
            prefix='backbone.',
        )
    ),
    head=dict(num_classes={{_base_.data_preprocessor.num_classes}}),
)
