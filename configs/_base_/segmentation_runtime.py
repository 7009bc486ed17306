_base_ = './default_runtime.py'

default_scope = 'mmseg'
default_hooks = dict(
    checkpoint=dict(save_best='mIoU'),
    visualization=dict(_delete_=True, type='LandCoverVisualizationHook'),
)
custom_hooks = [
    dict(type='CheckClassesHook'),
    dict(type='CheckDataHook'),
    dict(type='CheckLearningRateHook'),
    dict(type='SyncBuffersHook'),  # batch norms of several processes, before a validation
    dict(type='SegmentationReportHook'),
]
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
sync_bn = 'torch'  # of several GPUs: batch norm over the whole batch
