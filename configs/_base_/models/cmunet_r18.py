# CM-UNet with ResNet-18 from random weights; depths of two blocks make the published size
num_classes = 6
losses = [dict(type='SoftCrossEntropyLoss', smooth_factor=0.05), dict(type='SoftDiceLoss', smooth=0.05)]

model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNet', depth=18),
    neck=dict(
        type='CMUNetDecoder', in_channels=(64, 128, 256, 512), depths=(2, 2, 2, 2), drop_path_rate=0.2
    ),
    decode_head=dict(
        type='PixelHead', in_channels=64, num_classes=num_classes, bias=False, loss_decode=losses
    ),
    # in training alone; from the last stage back to the second
    auxiliary_head=[
        dict(
            type='PixelHead',
            in_channels=channels,
            num_classes=num_classes,
            in_index=index,
            bias=False,
            align_corners=True,
            loss_decode=[dict(loss, loss_weight=0.4) for loss in losses],
        )
        for index, channels in ((2, 64), (1, 64), (0, 128))
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
