# Potsdam by mmsegmentation's tools/dataset_converters/potsdam.py
_base_ = ['./land_cover.py', '../pipelines/land_cover_768x768.py']

data_root = '{{$RSMAMBA_DATA:data}}/potsdam'
images = dict(type='PotsdamDataset', data_root=data_root)

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline={{_base_.mix_pipeline}},
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
