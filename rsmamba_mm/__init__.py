"""State-space models for remote sensing as a plug-in of OpenMMLab.

Importing this package is light. The registered modules are reached by
``custom_imports = dict(imports=['rsmamba_mm.models'])`` in a config, or with no custom import at all by
their full names, such as ``type='rsmamba_mm.RSMamba'``.
"""

from importlib import import_module

from .version import __version__

# public class -> the module that defines and registers it
_LAZY = {
    'RSMamba': 'rsmamba_mm.models',
    'ResT': 'rsmamba_mm.models',
    'AFMNet': 'rsmamba_mm.models',
    'BANet': 'rsmamba_mm.models',
    'ClusterMamba': 'rsmamba_mm.models',
    'RS3MambaBackbone': 'rsmamba_mm.models',
    'VMamba': 'rsmamba_mm.models',
    'Vim': 'rsmamba_mm.models',
    'CMUNetDecoder': 'rsmamba_mm.models',
    'DCFAM': 'rsmamba_mm.models',
    'MambaSegDecoder': 'rsmamba_mm.models',
    'UNetFormerDecoder': 'rsmamba_mm.models',
    'DCSwinHead': 'rsmamba_mm.models.heads',
    'LocalSupervisionHead': 'rsmamba_mm.models.heads',
    'MANetHead': 'rsmamba_mm.models.heads',
    'AverageScoreTTA': 'rsmamba_mm.models.classifiers',
    'DistilledClassifier': 'rsmamba_mm.models.classifiers',
    'MoEClsHead': 'rsmamba_mm.models.heads.moe_cls_head',
    'PixelHead': 'rsmamba_mm.models.heads',
    'PixelShuffleHead': 'rsmamba_mm.models.heads',
    'PyramidMambaHead': 'rsmamba_mm.models.heads',
    'UNetFormerAuxHead': 'rsmamba_mm.models.heads',
    'UNetFormerHead': 'rsmamba_mm.models.heads',
    'BandsDataPreprocessor': 'rsmamba_mm.models.selfsup',
    'RoMA': 'rsmamba_mm.models.selfsup',
    'RoMADecoder': 'rsmamba_mm.models.selfsup',
    'RoMAHead': 'rsmamba_mm.models.selfsup',
    'D4SegTTAModel': 'rsmamba_mm.models.segmentors',
    'SmoothEncoderDecoder': 'rsmamba_mm.models.segmentors',
    'SoftCrossEntropyLoss': 'rsmamba_mm.models',
    'SoftDiceLoss': 'rsmamba_mm.models',
    'SoftJaccardLoss': 'rsmamba_mm.models',
    'SoftmaxFocalLoss': 'rsmamba_mm.models',
    'LovaszSoftmaxLoss': 'rsmamba_mm.models',
    'AID': 'rsmamba_mm.datasets',
    'AdaptiveRotation': 'rsmamba_mm.datasets',
    'DubaiDataset': 'rsmamba_mm.datasets',
    'ISPRSPatches': 'rsmamba_mm.datasets',
    'LoadGeoImage': 'rsmamba_mm.datasets',
    'LoadPaletteAnnotations': 'rsmamba_mm.datasets',
    'LoadSceneImage': 'rsmamba_mm.datasets',
    'NativeMosaic': 'rsmamba_mm.datasets',
    'RESISC45': 'rsmamba_mm.datasets',
    'RSClsDataset': 'rsmamba_mm.datasets',
    'RandomBandGain': 'rsmamba_mm.datasets',
    'RandomTranspose': 'rsmamba_mm.datasets',
    'RareClassSampler': 'rsmamba_mm.datasets',
    'SceneFolder': 'rsmamba_mm.datasets',
    'SkipFaulty': 'rsmamba_mm.datasets',
    'SyntheticScenes': 'rsmamba_mm.datasets',
    'UAVidDataset': 'rsmamba_mm.datasets',
    'UCMerced': 'rsmamba_mm.datasets',
    'UnlabelledImages': 'rsmamba_mm.datasets',
    'BFloat16OptimWrapper': 'rsmamba_mm.engine',
    'CheckClassesHook': 'rsmamba_mm.engine',
    'CheckDataHook': 'rsmamba_mm.engine',
    'CheckFiniteHook': 'rsmamba_mm.engine',
    'CheckLearningRateHook': 'rsmamba_mm.engine',
    'ClassificationReportHook': 'rsmamba_mm.engine',
    'CompileHook': 'rsmamba_mm.engine',
    'CosineToEndLR': 'rsmamba_mm.engine',
    'ExactTrainLoop': 'rsmamba_mm.engine',
    'SafeCheckpointHook': 'rsmamba_mm.engine',
    'LandCoverMapHook': 'rsmamba_mm.engine',
    'LandCoverVisualizationHook': 'rsmamba_mm.engine',
    'LookaheadAdamW': 'rsmamba_mm.engine',
    'MuonAdamW': 'rsmamba_mm.engine',
    'MuonOptimWrapperConstructor': 'rsmamba_mm.engine',
    'SceneVisualizationHook': 'rsmamba_mm.engine',
    'SegmentationReportHook': 'rsmamba_mm.engine',
    'SegmentorOptimWrapperConstructor': 'rsmamba_mm.engine',
    'BoundaryMetric': 'rsmamba_mm.evaluation',
    'CohenKappa': 'rsmamba_mm.evaluation',
    'LandCoverMetric': 'rsmamba_mm.evaluation',
}

__all__ = ['__version__', *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
