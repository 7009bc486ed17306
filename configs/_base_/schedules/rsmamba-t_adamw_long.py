# as long as a small model needs on UC Merced: 20 minutes on two cores
_base_ = './rsmamba-t_adamw.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(type='CosineToEndLR', eta_min=2e-5, by_epoch=True, begin=2, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100, val_interval=4)
