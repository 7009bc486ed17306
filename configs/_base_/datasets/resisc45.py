_base_ = './scenes.py'

data_root = '{{$RSMAMBA_DATA:data}}/resisc45'
data_preprocessor = dict(
    num_classes=45,
    mean=[93.847266, 97.201288, 87.665479],
    std=[37.102165, 34.616501, 33.701917],
    to_rgb=True,
)

train_dataloader = dict(dataset=dict(type='RESISC45', data_root=data_root))
val_dataloader = dict(dataset=dict(type='RESISC45', data_root=data_root))
test_dataloader = dict(dataset=dict(type='RESISC45', data_root=data_root))
