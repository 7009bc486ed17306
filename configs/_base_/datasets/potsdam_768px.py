# Potsdam by mmsegmentation's tools/dataset_converters/potsdam.py
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/potsdam'
images = dict(type='PotsdamDataset', data_root=data_root)

mix_pipeline = _base_.mix_pipeline
mix_pipeline[2].crop_size = (768, 768)
data_preprocessor = dict(size=(768, 768))

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline=mix_pipeline,
    ),
)
val_dataloader = dict(dataset=dict(images, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# as released
tta_model = dict(rotations=(0,), scales=(0.75, 1.0, 1.25, 1.5))
tta_pipeline = {{_base_.test_pipeline}}

# clutter is trained, and counted in the accuracy alone
val_evaluator = dict(exclude=['clutter'])
test_evaluator = val_evaluator
