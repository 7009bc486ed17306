_base_ = [
    '../_base_/models/dcswin_swin-t.py',
    '../_base_/datasets/potsdam_tiles_768px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
