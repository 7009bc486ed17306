_base_ = './vmamba-t-s2l5.py'

model = dict(backbone=dict(arch='s1l8'))
