# UNetMamba with the ResT-Lite encoder; its losses smooth labels by 0.05, as released (the paper: 0)
num_classes = 6
ce = dict(type='SoftCrossEntropyLoss', smooth_factor=0.05)

model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResT', arch='lite'),
    neck=dict(type='MambaSegDecoder', in_channels=(64, 128, 256, 512), drop_path_rate=0.2),
    decode_head=dict(
        type='PixelHead',
        in_channels=64,
        num_classes=num_classes,
        loss_decode=[ce, dict(type='SoftDiceLoss', smooth=0.05)],
    ),
    # in training alone
    auxiliary_head=dict(
        type='LocalSupervisionHead',
        in_channels=(256, 128, 64),
        num_classes=num_classes,
        loss_decode=dict(ce, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
