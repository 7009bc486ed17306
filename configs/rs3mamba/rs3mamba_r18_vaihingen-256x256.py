# as RS3Mamba's authors train it: crops of 256 px, cross-entropy alone, SGD; how images are varied is ours
_base_ = [
    '../_base_/models/rs3mamba.py',
    '../_base_/datasets/vaihingen_512px.py',
    '../_base_/schedules/rs3mamba_sgd.py',
    '../_base_/segmentation_runtime.py',
]

mix_pipeline = _base_.mix_pipeline
mix_pipeline[2].crop_size = (256, 256)
train_dataloader = dict(batch_size=10, dataset=dict(pipeline=mix_pipeline))
data_preprocessor = dict(_base_.data_preprocessor, size=(256, 256))
model = dict(
    data_preprocessor=data_preprocessor,
    decode_head=dict(loss_decode=[dict(type='SoftCrossEntropyLoss')]),
)
