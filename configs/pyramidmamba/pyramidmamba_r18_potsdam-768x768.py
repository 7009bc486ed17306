_base_ = [
    '../_base_/models/pyramidmamba_r18.py',
    '../_base_/datasets/potsdam_768px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

# a crop of 768 px has a deepest map of 24 × 24
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    decode_head=dict(pool_scales=(1, 7, 13, 19)),
)
