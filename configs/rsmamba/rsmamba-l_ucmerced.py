_base_ = './rsmamba-b_ucmerced.py'

model = dict(backbone=dict(arch='large'), head=dict(in_channels=256))
