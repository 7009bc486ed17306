_base_ = [
    '../_base_/models/rsmamba_mix.py',
    '../_base_/datasets/folder_4bands-224px.py',
    '../_base_/schedules/rsmamba_{{$RECIPE:ours}}.py',
    '../_base_/default_runtime.py',
]

# num_classes of the head and of data_preprocessor depend on the folder
model = dict(backbone=dict(in_channels=4), head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
