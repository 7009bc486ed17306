_base_ = [
    '../_base_/models/unetmamba_tiny.py',
    '../_base_/datasets/dubai_256px.py',
    '../_base_/schedules/unetmamba-tiny_muon.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
train_cfg = dict(max_epochs=1000, val_interval=50)  # of 36 images
