# the training patches of Vaihingen without their labels, each in two views; no change of hue, for the
# bands are IR, R, G
_base_ = './unlabelled_192px.py'

data_root = '{{$RSMAMBA_DATA:data}}/vaihingen224/img_dir/train'
data_preprocessor = dict(type='SelfSupDataPreprocessor')

view = [
    dict(type='RandomResizedCrop', scale=160, crop_ratio_range=(0.3, 1.0)),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4)],
        prob=0.8,
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=2, transforms=[view]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=16, num_workers=2, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
