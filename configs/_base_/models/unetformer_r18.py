# UNetFormer with ResNet-18 from random weights
num_classes = 6
ce = dict(type='SoftCrossEntropyLoss', smooth_factor=0.05)

model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNet', depth=18),
    neck=dict(type='UNetFormerDecoder', in_channels=(64, 128, 256, 512)),
    decode_head=dict(
        type='UNetFormerHead',
        in_channels=64,
        num_classes=num_classes,
        loss_decode=[ce, dict(type='SoftDiceLoss', smooth=0.05)],
    ),
    # in training alone
    auxiliary_head=dict(
        type='UNetFormerAuxHead',
        in_channels=64,
        num_classes=num_classes,
        loss_decode=dict(ce, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
