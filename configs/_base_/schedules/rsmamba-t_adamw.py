# a short schedule for small models: the rate is for a batch of 32
_base_ = './rsmamba_ours.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineToEndLR', eta_min=2e-5, by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=10, val_interval=1)
auto_scale_lr = dict(base_batch_size=32, max_lr=2e-3)
