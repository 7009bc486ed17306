_base_ = [
    '../_base_/models/rsmamba-t_128px.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_adamw.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=21))

# about 20 minutes on two cores
max_epochs = 80
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=2e-5,
        by_epoch=True,
        begin=2,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
