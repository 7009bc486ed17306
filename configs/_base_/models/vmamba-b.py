_base_ = './vmamba-t-s2l5.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.6),
    head=dict(in_channels=1024),
)
