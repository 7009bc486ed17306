_base_ = './vim-t.py'

model = dict(backbone=dict(arch='base'), head=dict(in_channels=768))
