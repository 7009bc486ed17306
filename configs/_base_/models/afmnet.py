# AFM-Net as its released configs have it: 64 experts of 1408 and two shared, six active
model = dict(
    type='ImageClassifier',
    backbone=dict(type='AFMNet', img_size=224),
    head=dict(
        type='MoEClsHead',
        num_classes=1000,
        in_channels=768,
        num_experts=64,
        inner=1408,
        shared=2,
        topk=6,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
