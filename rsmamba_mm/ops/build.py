"""Compile the native CPU backend ahead of its first use: ``python -m rsmamba_mm.ops.build``."""

from .backends.cache import CACHE_VARIABLE, cache_folder
from .backends.cpu.build import FLAGS, SOURCES, BuildError, compiler, library

__all__ = [
    'CACHE_VARIABLE',
    'FLAGS',
    'SOURCES',
    'BuildError',
    'cache_folder',
    'compiler',
    'library',
    'main',
]


def main() -> None:
    try:
        print(library())
    except BuildError as error:
        raise SystemExit(f'The native CPU backend was not built: {error}') from None


if __name__ == '__main__':
    main()
