_base_ = [
    '../_base_/models/pyramidmamba_r18.py',
    '../_base_/datasets/loveda_512px.py',
    '../_base_/schedules/unetmamba_adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}}, decode_head=dict(num_classes=7))
