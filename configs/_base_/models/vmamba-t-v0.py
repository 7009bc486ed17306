_base_ = './vmamba-t-s2l5.py'

model = dict(backbone=dict(arch='v0'))
