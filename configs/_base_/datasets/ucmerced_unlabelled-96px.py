# half of UC Merced, whose labels nothing looks at; probes are of the other half
_base_ = './unlabelled_192px.py'

data_root = '{{$RSMAMBA_DATA:data}}/ucmerced'
data_preprocessor = dict(
    mean=[123.770241, 125.412817, 115.357376],
    std=[44.173143, 41.635893, 39.573793],
)

train_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='AdaptiveRotation', sizes=(48, 32, 16), patch_size=8),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(_delete_=True, type='UCMerced', data_root=data_root, share=0.5, pipeline=train_pipeline),
)
