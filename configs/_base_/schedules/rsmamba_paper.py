# The recipe of the paper: 5e-4 for 1024 images a step, here 64 batches of 16 on one GPU. On eight, either
# optim_wrapper.accumulative_counts=8, or 1 with train_dataloader.batch_size=128.
_base_ = './rsmamba_released.py'

optim_wrapper = dict(accumulative_counts=64)
auto_scale_lr = dict(base_batch_size=1024, max_lr=5e-4, scaled=True)
