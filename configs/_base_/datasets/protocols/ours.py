# a tenth of the training part is held out for model selection, and the published test part (val.txt in the
# authors' lists) is for the test alone
recipe = 'ours'
train_dataloader = dict(dataset=dict(ann_file='train.txt', holdout=0.1))
val_dataloader = dict(dataset=dict(ann_file='train.txt', holdout=0.1, held_out=True))
