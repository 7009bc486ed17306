# a control: without the scan, all else as it is
_base_ = './rsmamba-b_aid.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='identity')))
