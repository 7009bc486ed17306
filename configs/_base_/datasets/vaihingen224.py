# 187 training and 60 validation patches of Vaihingen, 224 px, labels from 0; IR, R, G. A tenth of the
# training patches is held out for model selection, and the validation patches are for the test alone.
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/vaihingen224'
images = dict(type='ISPRSPatches', data_root=data_root)

mix_pipeline = _base_.mix_pipeline
mix_pipeline[0].size = 224
mix_pipeline[2].crop_size = (224, 224)
data_preprocessor = dict(size=(224, 224))

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        dataset=dict(images, holdout=0.1, pipeline={{_base_.load_pipeline}}),
        pipeline=mix_pipeline,
    ),
)
held_out = dict(
    holdout=0.1,
    held_out=True,
    data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
)
val_dataloader = dict(
    batch_size=8, num_workers=2, dataset=dict(images, **held_out, pipeline={{_base_.test_pipeline}})
)
test_dataloader = dict(batch_size=8, num_workers=2, dataset=dict(images, pipeline={{_base_.test_pipeline}}))
tta_pipeline = {{_base_.test_pipeline}}

# clutter is trained, and counted in the accuracy alone
val_evaluator = dict(exclude=['clutter'])
test_evaluator = val_evaluator
