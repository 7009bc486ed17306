from .rest import ResT
from .rsmamba import RSMamba

__all__ = ['RSMamba', 'ResT']
