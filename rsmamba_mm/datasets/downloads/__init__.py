"""The published data sets: where they are, fetching them, and the layout that the configs read."""

from .fetch import fetch, verify
from .prepare import prepare_dataset
from .sources import SOURCES, Archive, Source
from .unpack import unpack

__all__ = ['SOURCES', 'Archive', 'Source', 'fetch', 'prepare_dataset', 'unpack', 'verify']
