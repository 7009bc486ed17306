# VMamba of a quarter of a million parameters, beside RSMamba-T
_base_ = './vmamba-t-s2l5.py'

model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=(16, 32, 64, 128),
            depths=(1, 1, 2, 1),
            d_state=1,
            ssm_ratio=1.0,
            mlp_ratio=2.0,
            gated=False,
            conv_bias=False,
            overlap=True,
        ),
        drop_path_rate=0.0,
    ),
    head=dict(in_channels=128),
    train_cfg=None,
)
