_base_ = [
    '../_base_/models/pyramidmamba_r18.py',
    '../_base_/datasets/vaihingen224.py',
    '../_base_/schedules/unetmamba_adamw_scratch.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
