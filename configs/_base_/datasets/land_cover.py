# images and masks as the converters of mmsegmentation lay them out
train_dataloader = dict(
    batch_size=8,
    drop_last=True,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='MultiImageMixDataset',
        dataset=dict(data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train')),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val')),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='LandCoverMetric')
test_evaluator = val_evaluator

# tools/test.py --tta: flips and quarter turns
tta_model = dict(type='D4SegTTAModel')
