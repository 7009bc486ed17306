# blue, green, red and near infrared in 16 bits, as of GaoFen, SuperView or Sentinel-2: mean and standard
# deviation are those that split_scenes.py folder prints
_base_ = ['./folder.py', '../pipelines/bands_224px.py']

data_preprocessor = dict(
    _delete_=True,
    num_classes=2,
    mean=[450.0, 600.0, 550.0, 2200.0],
    std=[250.0, 300.0, 400.0, 1000.0],
)

train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
