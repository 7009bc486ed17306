# both of what helps the small model on few patches (README.md), for an hour
_base_ = './unetmamba_tiny_vaihingen224-160px.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RareClassSampler', exclude={{_base_.val_evaluator.exclude}})
)
train_cfg = dict(max_epochs=270)
