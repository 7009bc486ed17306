# at about half of their resolution, for small models; the fifth tile is held out for model selection, and
# the seventh is for the test alone
_base_ = './dubai_512px.py'

mix_pipeline = _base_.mix_pipeline
mix_pipeline[1].transforms = [
    [dict(type='Resize', scale_factor=factor, keep_ratio=True)] for factor in (0.3, 0.4, 0.5, 0.625, 0.75)
]
mix_pipeline[2].crop_size = (256, 256)
data_preprocessor = dict(size=(256, 256))

load_pipeline = _base_.load_pipeline
test_pipeline = [
    load_pipeline[0],
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    load_pipeline[1],  # the labels as they are
    dict(type='PackSegInputs'),
]
tta_pipeline = test_pipeline

train_dataloader = dict(
    batch_size=6,
    num_workers=2,
    dataset=dict(dataset=dict(tiles=['tile1', 'tile2', 'tile3', 'tile4']), pipeline=mix_pipeline),
)
val_dataloader = dict(dataset=dict(tiles=['tile5'], pipeline=test_pipeline), num_workers=2)
test_dataloader = dict(dataset=dict(tiles=['tile7'], pipeline=test_pipeline), num_workers=2)
