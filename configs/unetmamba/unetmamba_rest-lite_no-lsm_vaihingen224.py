# without local supervision
_base_ = './unetmamba_rest-lite_vaihingen224.py'

model = dict(auxiliary_head=None)
