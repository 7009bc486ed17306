_base_ = [
    '../_base_/models/unetmamba_rest-lite.py',
    '../_base_/datasets/dubai_512px.py',
    '../_base_/schedules/unetmamba_adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

# images of up to 2,000 px, in windows that fade into one another
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    type='SmoothEncoderDecoder',
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)),
)
auto_scale_lr = dict(base_batch_size=4)
