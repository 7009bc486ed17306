_base_ = './rsmamba-b_resisc45.py'

model = dict(backbone=dict(arch='large'), head=dict(in_channels=256))
