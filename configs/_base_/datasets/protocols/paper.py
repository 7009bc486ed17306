_base_ = './released.py'

recipe = 'paper'
