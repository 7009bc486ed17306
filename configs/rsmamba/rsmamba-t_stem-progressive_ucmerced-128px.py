# As long as 20 epochs of rsmamba-t_stem, a quarter of an hour on one core: nearly half of the epochs see
# smaller images, at 0.6 of the cost (docs/results, "Few tokens behind a residual stem, what matters?")
_base_ = './rsmamba-t_stem_ucmerced-128px.py'

full_size = _base_.train_pipeline
smaller = [*full_size]
smaller[1] = dict(full_size[1], scale=96)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='SwitchRecipeHook',
        schedule=[
            dict(action_epoch=1, train_pipeline=smaller),
            dict(action_epoch=13, train_pipeline=full_size),
        ],
    ),
]
train_cfg = dict(max_epochs=25)
