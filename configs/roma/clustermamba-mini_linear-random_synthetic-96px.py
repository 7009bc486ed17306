_base_ = [
    '../_base_/models/clustermamba-mini_linear_96px.py',
    '../_base_/datasets/synthetic_scenes_96px.py',
    '../_base_/schedules/linear-probe_adamw.py',
    '../_base_/default_runtime.py',
]

# the control of every probe: the same encoder with random weights
model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
