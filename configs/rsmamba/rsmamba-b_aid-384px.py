_base_ = [
    '../_base_/models/rsmamba_mix.py',
    '../_base_/datasets/aid_384px.py',
    '../_base_/schedules/rsmamba_{{$RECIPE:ours}}.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=384), head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
