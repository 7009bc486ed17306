# scenes drawn from a seed: nothing to download; files, which an inferencer reads, are brought to their size
num_classes = 12
data_preprocessor = dict(
    num_classes=num_classes,
    mean=[118.3, 116.6, 100.1],
    std=[44.1, 39.2, 38.0],
    to_rgb=True,
)

train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='ResizeEdge', scale=128, edge='short'),
    dict(type='CenterCrop', crop_size=128),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='SyntheticScenes', num_images=3600, img_size=128, seed=0, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticScenes', num_images=240, img_size=128, seed=1, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticScenes', num_images=600, img_size=128, seed=2, pipeline=test_pipeline),
)

val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=['precision', 'recall', 'f1-score']),
    dict(type='CohenKappa'),
]
test_evaluator = val_evaluator
