# a control: without the scan, all else as it is
_base_ = './rsmamba-b_resisc45.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='identity')))
