# a mosaic of four images at their own scale for a quarter of the samples, a random scale, and crops in
# which no class covers more than three quarters, as UNetMamba was trained; the flips are ours. Data sets of
# other sizes change the mosaic, the crop and data_preprocessor.
load_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
mix_pipeline = [
    dict(type='NativeMosaic', prob=0.25, size=1024),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='Resize', scale_factor=factor, keep_ratio=True)]
            for factor in (0.5, 0.75, 1.0, 1.25, 1.5)
        ],
    ),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomRotate', prob=0.5, degree=(90, 90), seg_pad_val=255),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)
