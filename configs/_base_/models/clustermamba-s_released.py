_base_ = './clustermamba-b_released.py'

model = dict(backbone=dict(arch='small'), head=dict(in_channels=384))
