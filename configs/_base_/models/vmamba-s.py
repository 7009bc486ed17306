_base_ = './vmamba-t-s2l5.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
