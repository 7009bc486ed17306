_base_ = [
    '../_base_/models/unetmamba_rest-lite.py',
    '../_base_/datasets/synthetic_land_cover_128px.py',
    '../_base_/schedules/unetmamba_adamw_scratch.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    decode_head=dict(num_classes=8),
    auxiliary_head=dict(num_classes=8),
)

max_epochs = 4
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
