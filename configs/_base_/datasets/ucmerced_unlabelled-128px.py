_base_ = './ucmerced_unlabelled-96px.py'

train_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='RandomResizedCrop', scale=128, crop_ratio_range=(0.4, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='AdaptiveRotation', sizes=(64, 48, 32), patch_size=8),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
