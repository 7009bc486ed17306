_base_ = './roma-b.py'

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=[1024] * 4))
