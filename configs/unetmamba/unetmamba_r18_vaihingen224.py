# the Mamba decoder and local supervision behind ResNet-18, from random weights as its sibling
_base_ = './unetmamba_rest-lite_vaihingen224.py'

model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3)),
)
