# a linear classifier on the frozen encoder, whose features are brought to zero mean and unit variance
_base_ = './clustermamba-b.py'

model = dict(
    backbone=dict(frozen_stages=12),
    neck=dict(type='ClsBatchNormNeck', input_features=768),
    head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss')),
    train_cfg=None,
)
