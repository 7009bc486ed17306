_base_ = [
    '../_base_/models/rsmamba.py',
    '../_base_/datasets/folder_224px.py',
    '../_base_/schedules/rsmamba_adamw.py',
    '../_base_/default_runtime.py',
]

# num_classes of the head and of data_preprocessor depend on the folder
model = dict(
    head=dict(num_classes=2),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

# the rate of _base_ is the paper's for a batch of 1024; this one is for the 16 images here
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=16)
