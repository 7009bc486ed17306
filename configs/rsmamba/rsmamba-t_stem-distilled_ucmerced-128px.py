# A small model that also learns what a trained ResNet-18 says. Its training comes first:
# python tools/train.py configs/baselines/resnet18_ucmerced-128px.py
_base_ = './rsmamba-t_stem_ucmerced-128px.py'

model = dict(
    type='DistilledClassifier',
    teacher=dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=18),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', num_classes={{_base_.data_preprocessor.num_classes}}, in_channels=512
        ),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/resnet18_ucmerced-128px/epoch_40.pth'),
    ),
)
