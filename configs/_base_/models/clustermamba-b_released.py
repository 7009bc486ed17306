# as published: a class token in the middle, which is classified
_base_ = './clustermamba-b.py'

model = dict(backbone=dict(cls_position='middle', out_type='cls_token'))
