# the baseline of the ablation: RS3Mamba with ResT-Lite in the place of ResNet-18
_base_ = [
    '../_base_/models/unetmamba_baseline.py',
    '../_base_/datasets/vaihingen_512px.py',
    '../_base_/schedules/unetmamba_adamw_restarts.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(data_preprocessor={{_base_.data_preprocessor}})
