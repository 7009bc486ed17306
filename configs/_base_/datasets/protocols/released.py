# the whole training part is trained on, and the checkpoint is selected on the images that are reported
recipe = 'released'
train_dataloader = dict(dataset=dict(ann_file='train.txt'))
val_dataloader = dict(dataset=dict(ann_file='val.txt'))
