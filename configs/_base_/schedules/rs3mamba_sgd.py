# the recipe of RS3Mamba's authors, for a batch of 10: SGD, whose rate falls at three epochs; that there are
# 50 in all is ours
_base_ = './unetmamba_adamw_cosine.py'

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [dict(type='MultiStepLR', milestones=[25, 35, 45], gamma=0.1, by_epoch=True)]
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=10, max_lr=0.01)
