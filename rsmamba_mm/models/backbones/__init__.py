from .rsmamba import RSMamba

__all__ = ['RSMamba']
