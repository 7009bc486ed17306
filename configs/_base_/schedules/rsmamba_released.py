# The recipe of the released code: 5e-4 for 16 images on each GPU, however many there are; all parameters
# decay.
_base_ = './rsmamba_ours.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(_delete_=True))
auto_scale_lr = dict(base_batch_size=16, scaled=False)
