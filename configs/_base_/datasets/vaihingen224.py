# 187 training and 60 validation patches of Vaihingen, 224 px, labels from 0; IR, R, G
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/vaihingen224'
images = dict(type='ISPRSDataset', data_root=data_root, reduce_zero_label=False)

mix_pipeline = _base_.mix_pipeline
mix_pipeline[0].size = 224
mix_pipeline[2].crop_size = (224, 224)
data_preprocessor = dict(size=(224, 224))

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        dataset=dict(images, pipeline={{_base_.load_pipeline}}),
        pipeline=mix_pipeline,
    ),
)
val_dataloader = dict(batch_size=8, num_workers=2, dataset=dict(images, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
tta_pipeline = {{_base_.test_pipeline}}

# clutter is trained, and counted in the accuracy alone
val_evaluator = dict(exclude=['clutter'])
test_evaluator = val_evaluator
