# a short schedule for small models from random weights: the rate is for a batch of 8
_base_ = './unetmamba_adamw_cosine.py'

optim_wrapper = dict(
    constructor='MuonOptimWrapperConstructor',
    optimizer=dict(
        _delete_=True,
        type='MuonAdamW',
        lr=2e-3,
        matrix_lr_mult=4.0,
        weight_decay=1e-2,
        betas=(0.9, 0.99),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineToEndLR', eta_min=2e-5, by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=8)
auto_scale_lr = dict(base_batch_size=8, max_lr=2e-3)
