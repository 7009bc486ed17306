import sys

default_scope = 'mmpretrain'
custom_imports = dict(
    imports=[
        'rsmamba_mm.models',
        'rsmamba_mm.datasets',
        'rsmamba_mm.engine',
        'rsmamba_mm.evaluation',
    ]
)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='SafeCheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best='single-label/f1-score',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SceneVisualizationHook'),
)
custom_hooks = [
    dict(type='CheckClassesHook'),
    dict(type='CheckDataHook'),
    dict(type='CheckLearningRateHook'),
    dict(type='SyncBuffersHook'),  # batch norms of several processes, before a validation
    dict(type='ClassificationReportHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    # a forked process of macOS may crash in the system's libraries; Windows has none, whatever is said here
    mp_cfg=dict(mp_start_method='fork' if sys.platform == 'linux' else 'spawn', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl', timeout=600),  # seconds that a process waits for another one
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])

log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
