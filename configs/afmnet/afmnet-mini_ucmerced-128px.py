# small enough to learn on two CPU cores, beside rsmamba-t_ucmerced-128px: same data and schedule
_base_ = [
    '../_base_/models/afmnet.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_adamw_long.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        cnn=dict(
            type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(1, 2, 3)
        ),
        cnn_channels=(16, 32, 64),
        embed_dims=48,
        num_layers=4,
        mamba_indices=(1, 2, 3),
        layer_cfg=dict(d_state=4),
        channels=16,
        planes=(4, 4, 4),
        img_size=128,
    ),
    head=dict(
        num_classes={{_base_.data_preprocessor.num_classes}},
        in_channels=96,
        num_experts=4,
        inner=48,
        shared=1,
        topk=2,
    ),
    train_cfg=dict(_delete_=True),
)
