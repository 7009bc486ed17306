# The released recipe on LoveDA, for a batch of 8. No bias decays, in any part. The encoder takes a tenth of
# the rate, as the paper means it, where it starts from pretrained weights (model.backbone.init_cfg of the
# type Pretrained); from random weights it needs the whole, and the log says so.
optim_wrapper = dict(
    constructor='SegmentorOptimWrapperConstructor',
    optimizer=dict(type='LookaheadAdamW', lr=6e-4, weight_decay=2.5e-4, k=5, alpha=0.5),
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        pretrained_lr_mult=0.1,
        custom_keys={
            '.A_logs': dict(decay_mult=0.0),
            '.Ds': dict(decay_mult=0.0),
        },
    ),
)

# without an end: as long as the training
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True)]

train_cfg = dict(type='ExactTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=8, max_lr=6e-4)
