# a control: in place of the scan, taps of the convolution with as many parameters
_base_ = './rsmamba-b_resisc45.py'

model = dict(backbone=dict(layer_cfgs=dict(scan='conv')))
