# beside rsmamba-t_ucmerced-128px: same data and pipeline, and as many epochs as two cores do in its time
_base_ = [
    'mmpretrain::_base_/models/resnet18.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_adamw_long.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes={{_base_.data_preprocessor.num_classes}},
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)

train_cfg = dict(max_epochs=40)
