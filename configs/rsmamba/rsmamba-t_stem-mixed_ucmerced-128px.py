# For longer trainings on few images: these are mixed in pairs, and seen in all eight ways that a view from
# above lies, in other light
_base_ = './rsmamba-t_stem_ucmerced-128px.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.4), dict(type='CutMix', alpha=1.0)], probs=[0.3, 0.4]
    )
)
train_pipeline = _base_.train_pipeline
train_pipeline[1].crop_ratio_range = (0.3, 1.0)
train_pipeline[-1:-1] = [  # before the image is packed
    dict(type='RandomTranspose'),
    dict(type='ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
