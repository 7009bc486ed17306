# a folder of class subfolders, whose number stands in data_preprocessor and in the model's head; its lists
# are written by tools/dataset_converters/split_scenes.py folder
_base_ = './scenes.py'

data_root = '{{$RSMAMBA_DATA:data}}/scenes'
data_preprocessor = dict(
    num_classes=2,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_dataloader = dict(dataset=dict(type='SceneFolder', data_root=data_root))
val_dataloader = dict(dataset=dict(type='SceneFolder', data_root=data_root))
test_dataloader = dict(dataset=dict(type='SceneFolder', data_root=data_root))
