# Our recipe. The rate is for the 16 images a step of one GPU. --auto-scale-lr scales it linearly up to
# 5e-4, the highest that the authors trained with, and is refused beyond. No weight decay on the state
# matrix, the skip, norms, biases and positions.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,  # RMSNorm, no norm to MMEngine
        custom_keys={
            '.A_log': dict(decay_mult=0.0),
            '.D': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
            '.cls_token': dict(decay_mult=0.0),
        },
    ),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(type='CosineToEndLR', eta_min=1e-5, by_epoch=True, begin=10, convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=500, val_interval=20)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=16, max_lr=5e-4)
