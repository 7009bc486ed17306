_base_ = './rsmamba-b_aid.py'

model = dict(backbone=dict(arch='large'), head=dict(in_channels=256))
