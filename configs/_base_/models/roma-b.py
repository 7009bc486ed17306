# RoMA-Base; the other sizes change arch and the widths of the encoder's outputs
model = dict(
    type='RoMA',
    backbone=dict(type='ClusterMamba', mode='pretrain', arch='base', img_size=192),
    neck=dict(type='RoMADecoder', in_channels=[768] * 4),
    head=dict(type='RoMAHead'),
)
