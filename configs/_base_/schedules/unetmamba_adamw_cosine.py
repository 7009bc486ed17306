# the released recipe on LoveDA, for a batch of 8. The encoder's rate is a tenth, as the paper means it; the
# released code's rule for it names no module, so that there it is 6e-4 too: set lr_mult=1 for that.
optim_wrapper = dict(
    optimizer=dict(type='LookaheadAdamW', lr=6e-4, weight_decay=2.5e-4, k=5, alpha=0.5),
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            '.A_logs': dict(decay_mult=0.0),
            '.Ds': dict(decay_mult=0.0),
        },
    ),
)

max_epochs = 100
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=8)
