# Potsdam by tools/dataset_converters/isprs_tiles.py: its tiles drawn at random
_base_ = './potsdam_768px.py'

data_root = '{{$RSMAMBA_DATA:data}}/potsdam_tiles'

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
    ),
)
