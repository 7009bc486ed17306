_base_ = './roma-b.py'

model = dict(backbone=dict(arch='small'), neck=dict(in_channels=[384] * 4))
