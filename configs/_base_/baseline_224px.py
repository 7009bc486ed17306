# what the baselines of the paper's Tab. II share: data, recipe and loss of RSMamba. SCENES=aid or
# SCENES=resisc45 in the environment chooses other data than UC Merced.
# RECIPE=released or RECIPE=paper the recipe.
_base_ = [
    './datasets/{{$SCENES:ucmerced}}_224px.py',
    './schedules/rsmamba_{{$RECIPE:ours}}.py',
    './default_runtime.py',
]

num_classes = {{_base_.data_preprocessor.num_classes}}
label_smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
mixing = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
