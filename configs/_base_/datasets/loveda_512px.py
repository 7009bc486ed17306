# LoveDA by tools/download_dataset.py, which lays it out as mmsegmentation's converter does
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/loveDA'
images = dict(type='LoveDADataset', data_root=data_root)

# neither halved nor turned
mix_pipeline = [
    transform
    for transform in _base_.mix_pipeline
    if transform.type != 'RandomRotate' and transform.get('direction') != 'vertical'
]
mix_pipeline[1].transforms = mix_pipeline[1].transforms[1:]

train_dataloader = dict(
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline=mix_pipeline,
    ),
)
val_dataloader = dict(dataset=dict(images, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# as released
tta_model = dict(flips=('horizontal',), rotations=(0,), scales=(0.75, 1.0, 1.25, 1.5))
tta_pipeline = {{_base_.test_pipeline}}
