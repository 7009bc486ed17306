_base_ = './synthetic_scenes_128px.py'

test_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='ResizeEdge', scale=96, edge='short'),
    dict(type='CenterCrop', crop_size=96),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(num_images=1200, img_size=96))
val_dataloader = dict(dataset=dict(img_size=96, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(img_size=96, pipeline=test_pipeline))
