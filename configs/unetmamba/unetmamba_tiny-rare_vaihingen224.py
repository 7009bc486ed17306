# cars are in a third of the patches: in 40 epochs it gives 2.2 points of mIoU [0.5, 4.0] to draw these more
# often, in 120 none is shown
_base_ = './unetmamba_tiny_vaihingen224.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RareClassSampler', exclude={{_base_.val_evaluator.exclude}})
)
