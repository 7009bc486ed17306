# Sixteen epochs from random weights on a small data set, the rate falling from step to step. One epoch of
# the Vaihingen patches takes about a minute on two cores.
_base_ = './unetmamba_adamw_cosine.py'

param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=16)
auto_scale_lr = dict(base_batch_size=4)
