_base_ = [
    '../_base_/models/unetmamba_rest-lite.py',
    '../_base_/datasets/uavid_512px.py',
    '../_base_/schedules/unetmamba_adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

num_classes = 8
# images of 8 MP, in windows that fade into one another
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    type='SmoothEncoderDecoder',
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)),
)
