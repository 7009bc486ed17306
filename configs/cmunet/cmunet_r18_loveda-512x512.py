_base_ = [
    '../_base_/models/cmunet_r18.py',
    '../_base_/datasets/loveda_512px.py',
    '../_base_/schedules/unetmamba_adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

num_classes = 7
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=[dict(head, num_classes=num_classes) for head in _base_.model.auxiliary_head],
)
