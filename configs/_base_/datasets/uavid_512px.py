# UAVid as downloaded, masks in colours: crops for training, images of 3840 or 4096 × 2160 px to test
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/uavid'
images = dict(type='UAVidDataset', data_root=data_root)

load_pipeline = [
    dict(type='LoadImageFromFile'),
    # background clutter, building, road, static car, tree, low vegetation, human, moving car
    dict(
        type='LoadPaletteAnnotations',
        palette=[
            [0, 0, 0],
            [128, 0, 0],
            [128, 64, 128],
            [192, 0, 192],
            [0, 128, 0],
            [128, 128, 0],
            [64, 64, 0],
            [64, 0, 128],
        ],
        ignore=[],
    ),
]
test_pipeline = [*load_pipeline, dict(type='PackSegInputs')]
tta_pipeline = test_pipeline
tta_model = dict(flips=('horizontal',), rotations=(0,))

# what stands upright is neither turned nor upside down
mix_pipeline = [
    transform
    for transform in _base_.mix_pipeline
    if transform.type != 'RandomRotate' and transform.get('direction') != 'vertical'
]

train_dataloader = dict(
    dataset=dict(
        dataset=dict(images, _delete_=True, parts=['uavid_train'], pipeline=load_pipeline),
        pipeline=mix_pipeline,
    ),
)
val_dataloader = dict(dataset=dict(images, _delete_=True, parts=['uavid_val'], pipeline=test_pipeline))
test_dataloader = val_dataloader
