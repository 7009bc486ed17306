# UNetMamba in a tenth of its size, to learn on two CPU cores in a few minutes: half the blocks where there
# are most tokens, and no block left out by chance, as a short training has no time to overfit
_base_ = './unetmamba_rest-lite.py'

channels = (24, 48, 96, 144)

model = dict(
    backbone=dict(arch='tiny'),
    neck=dict(in_channels=channels, depths=(1, 1, 1), drop_path_rate=0.0),
    decode_head=dict(in_channels=channels[0]),
    auxiliary_head=dict(in_channels=channels[2::-1]),
)
