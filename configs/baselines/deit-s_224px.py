_base_ = ['mmpretrain::_base_/models/vit-base-p16.py', '../_base_/baseline_224px.py']

model = dict(
    backbone=dict(arch='deit-small', drop_rate=0.0),
    head=dict(in_channels=384, num_classes={{_base_.num_classes}}, loss={{_base_.label_smooth}}),
    train_cfg={{_base_.mixing}},
)
