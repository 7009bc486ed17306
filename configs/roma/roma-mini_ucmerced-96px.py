_base_ = [
    '../_base_/models/roma-mini_96px.py',
    '../_base_/datasets/ucmerced_unlabelled-96px.py',
    '../_base_/schedules/roma-mini_adamw.py',
    '../_base_/pretraining_runtime.py',
]
