# DC-Swin behind Swin-S: its authors' default
_base_ = './dcswin_swin-t.py'

model = dict(backbone=dict(depths=(2, 2, 18, 2)))
