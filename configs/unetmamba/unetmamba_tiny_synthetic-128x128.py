_base_ = [
    '../_base_/models/unetmamba_tiny.py',
    '../_base_/datasets/synthetic_land_cover_128px.py',
    '../_base_/schedules/unetmamba-tiny_muon.py',
    '../_base_/segmentation_runtime.py',
]

num_classes = 8
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
)

# more scenes, each seen a few times
train_dataloader = dict(batch_size=8, dataset=dict(num_images=1200))
