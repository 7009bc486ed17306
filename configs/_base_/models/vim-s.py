_base_ = './vim-t.py'

model = dict(backbone=dict(arch='small'), head=dict(in_channels=384))
