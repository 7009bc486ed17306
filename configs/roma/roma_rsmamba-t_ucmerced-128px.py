_base_ = [
    '../_base_/models/roma_rsmamba-t_128px.py',
    '../_base_/datasets/ucmerced_unlabelled-128px.py',
    '../_base_/schedules/roma-mini_adamw.py',
    '../_base_/pretraining_runtime.py',
]
