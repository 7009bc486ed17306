_base_ = [
    '../_base_/models/rsmamba-t_stem_128px.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_muon.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
