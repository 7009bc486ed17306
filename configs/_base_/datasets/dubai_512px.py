# aerial images of Dubai, masks in colours; the sixth tile and the eighth are left out
_base_ = ['./land_cover.py', '../pipelines/land_cover.py']

data_root = '{{$RSMAMBA_DATA:data}}/dubai'
images = dict(type='DubaiDataset', data_root=data_root)

load_pipeline = [
    dict(type='LoadImageFromFile'),
    # building, land, road, vegetation, water, unlabeled; black is ignored
    dict(
        type='LoadPaletteAnnotations',
        palette=[
            [60, 16, 152],
            [132, 41, 246],
            [110, 193, 228],
            [254, 221, 58],
            [226, 169, 41],
            [155, 155, 155],
        ],
    ),
]
test_pipeline = [*load_pipeline, dict(type='PackSegInputs')]
tta_pipeline = test_pipeline

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        dataset=dict(
            images,
            _delete_=True,
            tiles=['tile1', 'tile2', 'tile3', 'tile4', 'tile5'],
            pipeline=load_pipeline,
        ),
        pipeline={{_base_.mix_pipeline}},
    ),
)
val_dataloader = dict(dataset=dict(images, _delete_=True, tiles=['tile7'], pipeline=test_pipeline))
test_dataloader = val_dataloader

# trained, and counted in the accuracy alone
val_evaluator = dict(exclude=['unlabeled'])
test_evaluator = val_evaluator
