# Vaihingen by mmsegmentation's tools/dataset_converters/vaihingen.py
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/vaihingen'
images = dict(type='ISPRSDataset', data_root=data_root)

train_dataloader = dict(
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline={{_base_.mix_pipeline}},
    ),
)
val_dataloader = dict(dataset=dict(images, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# as released
tta_model = dict(scales=(0.5, 0.75, 1.0, 1.25, 1.5))
tta_pipeline = {{_base_.test_pipeline}}

# clutter is trained, and counted in the accuracy alone
val_evaluator = dict(exclude=['clutter'])
test_evaluator = val_evaluator
