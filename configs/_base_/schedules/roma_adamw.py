# As published: AdamW, the rate for a batch of 256, 40 epochs of warm-up of 400, half a cosine to 0; decay
# of all that has two axes or more. Nothing is validated.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=40, convert_to_iter_based=True),
    dict(type='CosineToEndLR', eta_min=0.0, by_epoch=True, begin=40, convert_to_iter_based=True),
]

train_cfg = dict(type='ExactTrainLoop', max_epochs=400)
auto_scale_lr = dict(base_batch_size=256)
