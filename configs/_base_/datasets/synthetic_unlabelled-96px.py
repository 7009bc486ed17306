# scenes drawn from a seed, whose labels nothing looks at
_base_ = './unlabelled_192px.py'

data_preprocessor = dict(mean=[118.3, 116.6, 100.1], std=[44.1, 39.2, 38.0])

train_pipeline = [
    dict(type='RandomCrop', crop_size=96),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='AdaptiveRotation', sizes=(48, 32, 16), patch_size=8),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='SyntheticScenes',
        num_images=1200,
        img_size=128,
        seed=0,
        pipeline=train_pipeline,
    ),
)
