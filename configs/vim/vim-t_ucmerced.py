_base_ = [
    '../_base_/models/vim-t.py',
    '../_base_/datasets/ucmerced_224px.py',
    '../_base_/schedules/rsmamba_{{$RECIPE:ours}}.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
