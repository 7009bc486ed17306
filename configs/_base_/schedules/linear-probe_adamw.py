# of a linear classifier on features of unit variance; with rates of 0.005 and 0.02 it ends too early
_base_ = './rsmamba-t_adamw.py'

optim_wrapper = dict(optimizer=dict(lr=5e-2, weight_decay=1e-4), clip_grad=None)
train_cfg = dict(max_epochs=30, val_interval=2)
auto_scale_lr = dict(max_lr=5e-2)
