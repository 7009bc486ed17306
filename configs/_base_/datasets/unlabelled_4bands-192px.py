# large rasters of blue, green, red and near infrared in 16 bits, cut as they are read; mean and standard
# deviation are those of the data
_base_ = './unlabelled_192px.py'

data_preprocessor = dict(
    _delete_=True,
    type='BandsDataPreprocessor',
    mean=[450.0, 600.0, 550.0, 2200.0],
    std=[250.0, 300.0, 400.0, 1000.0],
)

train_pipeline = [
    dict(type='LoadGeoImage', bands=[1, 2, 3, 4]),
    dict(type='RandomResizedCrop', scale=192, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='AdaptiveRotation'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(tile=256, pipeline=train_pipeline))
