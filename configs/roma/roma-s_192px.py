_base_ = [
    '../_base_/models/roma-s.py',
    '../_base_/datasets/unlabelled_192px.py',
    '../_base_/schedules/roma_adamw.py',
    '../_base_/pretraining_runtime.py',
]
