_base_ = [
    '../_base_/models/roma-t.py',
    '../_base_/datasets/unlabelled_4bands-192px.py',
    '../_base_/schedules/roma_adamw.py',
    '../_base_/pretraining_runtime.py',
]

model = dict(backbone=dict(in_channels=4), neck=dict(out_channels=4), head=dict(in_channels=4))
