# A quarter of an hour on one core, as 20 epochs of rsmamba-t_stem: nearly half of the epochs see smaller
# images. As good as those 20; better is not shown (configs/rsmamba/README.md, "On few images")
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
