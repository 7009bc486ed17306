_base_ = './clustermamba-b_released.py'

model = dict(backbone=dict(arch='large'), head=dict(in_channels=1024))
