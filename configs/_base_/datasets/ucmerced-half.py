# half of the images of each class to train, a tenth of these held out; the other half for the test
_base_ = './ucmerced.py'

train_dataloader = dict(dataset=dict(ann_file='', share=0.5, holdout=0.1))
val_dataloader = dict(dataset=dict(ann_file='', share=0.5, holdout=0.1, held_out=True))
test_dataloader = dict(dataset=dict(ann_file='', share=0.5, rest=True))
