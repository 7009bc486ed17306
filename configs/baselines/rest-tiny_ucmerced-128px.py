# the encoder of the small UNetMamba as a classifier: a start for it where there are scenes and few masks
_base_ = [
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_muon.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResT', arch='tiny', out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes={{_base_.data_preprocessor.num_classes}},
        in_channels=144,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)

train_cfg = dict(max_epochs=40)
