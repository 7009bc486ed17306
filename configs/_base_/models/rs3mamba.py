# RS3Mamba with ResNet-18 and VMamba-T of the first release, both from random weights
model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='RS3MambaBackbone',
        cnn=dict(type='ResNet', depth=18),
        ssm=dict(
            type='VMamba', arch='v0', in_channels=48, patch_size=2, drop_path_rate=0.2, out_norm=False
        ),
    ),
    neck=dict(type='UNetFormerDecoder', in_channels=(64, 128, 256, 512)),
    decode_head=dict(
        type='UNetFormerHead',
        in_channels=64,
        num_classes=6,
        loss_decode=[
            dict(type='SoftCrossEntropyLoss', smooth_factor=0.05),
            dict(type='SoftDiceLoss', smooth=0.05),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
