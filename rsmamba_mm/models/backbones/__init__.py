from .banet import BANet
from .rest import ResT
from .rsmamba import RSMamba

__all__ = ['BANet', 'RSMamba', 'ResT']
