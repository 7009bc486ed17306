# Efficient PyramidMamba: ResNet-18 from random weights, pools for crops of 512 px
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNet', depth=18),
    decode_head=dict(
        type='PyramidMambaHead',
        in_channels=(64, 512),
        num_classes=6,
        pool_scales=(1, 5, 9, 13),
        loss_decode=[
            dict(type='SoftCrossEntropyLoss', smooth_factor=0.05),
            dict(type='SoftDiceLoss', smooth=0.05),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
