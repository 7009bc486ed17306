# LoveDA by mmsegmentation's tools/dataset_converters/loveda.py
_base_ = ['./land_cover.py', '../pipelines/land_cover_loveda_512x512.py']

data_root = '{{$RSMAMBA_DATA:data}}/loveDA'
images = dict(type='LoveDADataset', data_root=data_root)

train_dataloader = dict(
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline={{_base_.mix_pipeline}},
    ),
)
val_dataloader = dict(dataset=dict(images, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# as released
tta_model = dict(flips=('horizontal',), rotations=(0,), scales=(0.75, 1.0, 1.25, 1.5))
tta_pipeline = {{_base_.test_pipeline}}
