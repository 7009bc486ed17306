# the released recipe on Vaihingen and Potsdam: warm restarts whose cycles close at 15, 45 and 105 epochs,
# so that 100 end within one
_base_ = './unetmamba_adamw_cosine.py'

param_scheduler = [
    dict(
        type='CosineRestartLR',
        periods=[15, 30, 60],
        restart_weights=[1, 1, 1],
        eta_min=0,
        by_epoch=True,
    ),
]
