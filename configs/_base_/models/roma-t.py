_base_ = './roma-b.py'

model = dict(backbone=dict(arch='tiny'), neck=dict(in_channels=[192] * 4))
