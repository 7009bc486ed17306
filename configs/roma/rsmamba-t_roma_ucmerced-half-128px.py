_base_ = [
    '../_base_/models/rsmamba-t_128px.py',
    '../_base_/datasets/ucmerced-half_128px.py',
    '../_base_/schedules/rsmamba-t_adamw_long.py',
    '../_base_/default_runtime.py',
]

# RoMA's checkpoint: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,  # a list there
            type='Pretrained',
            checkpoint='work_dirs/roma_rsmamba-t_ucmerced-128px/epoch_100.pth',
            prefix='backbone.',
        ),
        patch_cfg=dict(stride=8),
    ),
    head=dict(num_classes={{_base_.data_preprocessor.num_classes}}),
)
