# RSMamba with the mixing of images that the paper trains with
_base_ = './rsmamba.py'

model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
