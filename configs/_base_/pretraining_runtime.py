# of a training that validates nothing
_base_ = './default_runtime.py'

default_hooks = dict(checkpoint=dict(save_best=None))
