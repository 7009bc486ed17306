# What UNetMamba starts from in its ablation: RS3Mamba with ResT-Lite in the place of ResNet-18
_base_ = './rs3mamba.py'

model = dict(backbone=dict(cnn=dict(_delete_=True, type='ResT', arch='lite')))
