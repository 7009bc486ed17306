# a control: without the scan, all else as it is
_base_ = './rsmamba-t_ucmerced-128px.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='identity')))
