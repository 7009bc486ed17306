# a control: without the scan, all else as it is
_base_ = './rsmamba-b_ucmerced.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='identity')))
