# for small models on few images: the rate is for a batch of 32
_base_ = './rsmamba-t_adamw_long.py'

optim_wrapper = dict(
    constructor='MuonOptimWrapperConstructor',
    optimizer=dict(
        _delete_=True,
        type='MuonAdamW',
        lr=2e-3,
        matrix_lr_mult=2.0,
        weight_decay=0.05,
        betas=(0.9, 0.99),
    ),
)
