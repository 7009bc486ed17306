# the small model, for it sees the patches more often in the same time
_base_ = [
    '../_base_/models/unetmamba_tiny.py',
    '../_base_/datasets/vaihingen224.py',
    '../_base_/schedules/unetmamba-tiny_muon.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=120, val_interval=10)
