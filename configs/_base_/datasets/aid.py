_base_ = './scenes.py'

data_root = '{{$RSMAMBA_DATA:data}}/aid'
data_preprocessor = dict(
    num_classes=30,
    mean=[101.026087, 103.999699, 93.501577],
    std=[40.367289, 37.111323, 35.906500],
    to_rgb=True,
)

train_dataloader = dict(dataset=dict(type='AID', data_root=data_root))
val_dataloader = dict(dataset=dict(type='AID', data_root=data_root))
test_dataloader = dict(dataset=dict(type='AID', data_root=data_root))
