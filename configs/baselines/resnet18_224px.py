_base_ = ['mmpretrain::_base_/models/resnet18.py', '../_base_/baseline_224px.py']

model = dict(
    head=dict(num_classes={{_base_.num_classes}}, loss={{_base_.label_smooth}}),
    train_cfg={{_base_.mixing}},
)
