"""Compile the native CPU backend ahead of its first use: ``python -m rsmamba_mm.ops.build``.

With ``--portable`` it is compiled into the package, for a wheel for x86-64 to carry.
"""

import argparse

from .backends.cache import CACHE_VARIABLE, cache_folder
from .backends.cpu.build import FLAGS, SOURCES, BuildError, compile_portable, compiler, library

__all__ = [
    'CACHE_VARIABLE',
    'FLAGS',
    'SOURCES',
    'BuildError',
    'cache_folder',
    'compile_portable',
    'compiler',
    'library',
    'main',
]


def main() -> None:
    parser = argparse.ArgumentParser(description='Compile the native CPU backend.')
    parser.add_argument('--portable', action='store_true', help='into the package, for a wheel to carry')
    portable = parser.parse_args().portable
    try:
        print(compile_portable() if portable else library())
    except BuildError as error:
        raise SystemExit(f'The native CPU backend was not built: {error}') from None


if __name__ == '__main__':
    main()
