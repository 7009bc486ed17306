_base_ = [
    '../_base_/models/densecl_rest-tiny.py',
    '../_base_/datasets/vaihingen224_unlabelled-160px.py',
    '../_base_/schedules/roma-mini_adamw.py',
    '../_base_/pretraining_runtime.py',
]

optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.99)))
auto_scale_lr = dict(base_batch_size=16)
