# beside rsmamba-t_ucmerced-128px: same tokens, data and schedule
_base_ = [
    '../_base_/models/vim-mini_128px.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_adamw_long.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
