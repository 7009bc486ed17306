# what RoMA's encoder is fine-tuned as: the mean of the patches, with the loss and the mixing of RSMamba
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ClusterMamba', arch='base'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
