# without local supervision
_base_ = './unetmamba_rest-lite_loveda-512x512.py'

model = dict(auxiliary_head=None)
