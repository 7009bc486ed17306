_base_ = './rsmamba-b_aid.py'

model = dict(backbone=dict(arch='huge'), head=dict(in_channels=320))
