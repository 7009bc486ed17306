_base_ = [
    '../_base_/models/afmnet.py',
    '../_base_/datasets/resisc45_224px.py',
    '../_base_/schedules/rsmamba_{{$RECIPE:ours}}.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))

# root-mean-square norms, which MMEngine does not take for norms
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'.norm.weight': dict(decay_mult=0.0), '.patch_norm.': dict(decay_mult=0.0)}
    )
)
