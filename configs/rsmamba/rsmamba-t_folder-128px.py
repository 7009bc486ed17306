# for a few hundred images and more: starts from the small model that the package carries
_base_ = [
    '../_base_/models/rsmamba-t_stem_128px.py',
    '../_base_/datasets/folder_128px.py',
    '../_base_/schedules/rsmamba-t_muon.py',
    '../_base_/default_runtime.py',
]

# num_classes of the head and of data_preprocessor depend on the folder: tools/demo.py sets them
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,  # a list there
            type='Pretrained',
            checkpoint='rsmamba_mm://rsmamba-t_ucmerced',
            prefix='backbone.',
        )
    ),
    head=dict(num_classes={{_base_.data_preprocessor.num_classes}}),
)
train_cfg = dict(max_epochs=10, val_interval=1)
