# images of any number of bands and bits: no AutoAugment, which knows 8-bit RGB only
bands = [1, 2, 3, 4]
train_pipeline = [
    dict(type='LoadGeoImage', bands=bands),
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.4, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='RandomBandGain', shared=0.2, per_band=0.05),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadGeoImage', bands=bands),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
