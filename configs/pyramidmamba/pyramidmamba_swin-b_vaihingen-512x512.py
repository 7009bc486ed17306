_base_ = [
    '../_base_/models/pyramidmamba_swin-b.py',
    '../_base_/datasets/vaihingen_512px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
