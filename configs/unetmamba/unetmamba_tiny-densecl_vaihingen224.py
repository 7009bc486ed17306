_base_ = './unetmamba_tiny_vaihingen224.py'

# the encoder of the pre-training: another one by --cfg-options model.backbone.init_cfg.checkpoint=FILE
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/densecl_rest-tiny_vaihingen224-160px/epoch_100.pth',
            prefix='backbone.',
        ),
    ),
)
