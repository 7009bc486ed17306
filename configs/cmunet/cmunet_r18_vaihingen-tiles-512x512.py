_base_ = [
    '../_base_/models/cmunet_r18.py',
    '../_base_/datasets/vaihingen_tiles_512px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
