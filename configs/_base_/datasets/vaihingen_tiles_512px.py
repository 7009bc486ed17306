# Vaihingen by tools/dataset_converters/isprs_tiles.py: 22, 2 and 9 tiles, drawn at random as in the paper
_base_ = './vaihingen_512px.py'

data_root = '{{$RSMAMBA_DATA:data}}/vaihingen_tiles'

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
    ),
)
