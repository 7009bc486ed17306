_base_ = [
    '../_base_/models/rsmamba-t_128px.py',
    '../_base_/datasets/ucmerced-half_128px.py',
    '../_base_/schedules/rsmamba-t_adamw_long.py',
    '../_base_/default_runtime.py',
]

# from random weights, beside rsmamba-t_roma_ucmerced-half-128px
model = dict(
    backbone=dict(patch_cfg=dict(stride=8)), head=dict(num_classes={{_base_.data_preprocessor.num_classes}})
)
