# of a linear classifier: as published but for its length, and no average of the weights
_base_ = './rsmamba-t_adamw.py'

optim_wrapper = dict(optimizer=dict(lr=5e-3, weight_decay=1e-4), clip_grad=None)
train_cfg = dict(max_epochs=30, val_interval=2)
