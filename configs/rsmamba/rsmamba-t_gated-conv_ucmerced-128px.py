# a control: in place of the scan, taps of the convolution with as many parameters
_base_ = './rsmamba-t_ucmerced-128px.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='conv')))
