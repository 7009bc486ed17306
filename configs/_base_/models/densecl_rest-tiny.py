# the queue is shorter than an epoch: keys of the image itself would be its negatives
model = dict(
    type='DenseCL',
    queue_len=128,
    feat_dim=64,
    backbone=dict(type='ResT', arch='tiny', out_indices=(3,)),
    neck=dict(type='DenseCLNeck', in_channels=144, hid_channels=144, out_channels=64),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)
