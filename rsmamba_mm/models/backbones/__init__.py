from .banet import BANet
from .rest import ResT
from .rs3mamba import RS3MambaBackbone
from .rsmamba import RSMamba
from .vim import Vim
from .vmamba import VMamba

__all__ = ['BANet', 'RS3MambaBackbone', 'RSMamba', 'ResT', 'VMamba', 'Vim']
