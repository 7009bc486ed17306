# RSMamba-Base, the default arch; others change arch and the head's in_channels
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='RSMamba',
        img_size=224,
        patch_size=16,
        patch_cfg=dict(stride=8),
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear'),
        ],
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=192,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
