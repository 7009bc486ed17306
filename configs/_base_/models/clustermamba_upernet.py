# as RoMA is fine-tuned to segment: four maps of one stride, brought to four, and UPerNet behind them
num_classes = 6
ce = dict(type='CrossEntropyLoss')

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='ClusterMamba', arch='base', img_size=512, out_type='featmap', out_indices=(5, 7, 9, 11)
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, norm_cfg=dict(type='BN')),
    decode_head=dict(
        type='UPerHead',
        in_channels=[768] * 4,
        in_index=(0, 1, 2, 3),
        channels=512,
        num_classes=num_classes,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=ce,
    ),
    # in training alone
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=768,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        num_classes=num_classes,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(ce, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
