_base_ = './clustermamba-b_released.py'

model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
