_base_ = './scenes.py'

data_root = '{{$RSMAMBA_DATA:data}}/ucmerced'
data_preprocessor = dict(
    num_classes=21,
    mean=[123.770241, 125.412817, 115.357376],
    std=[44.173143, 41.635893, 39.573793],
    to_rgb=True,
)

train_dataloader = dict(dataset=dict(type='UCMerced', data_root=data_root))
val_dataloader = dict(dataset=dict(type='UCMerced', data_root=data_root))
test_dataloader = dict(dataset=dict(type='UCMerced', data_root=data_root))
