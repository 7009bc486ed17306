from .afmnet import AFMNet
from .banet import BANet
from .cluster_mamba import ClusterMamba
from .rest import ResT
from .rs3mamba import RS3MambaBackbone
from .rsmamba import RSMamba
from .vim import Vim
from .vmamba import VMamba

__all__ = ['AFMNet', 'BANet', 'ClusterMamba', 'RS3MambaBackbone', 'RSMamba', 'ResT', 'VMamba', 'Vim']
