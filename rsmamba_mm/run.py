"""Run a tool of OpenMMLab, or any script, with what this package needs already in place.

    python -m rsmamba_mm.run mmpretrain::visualization/browse_dataset.py CONFIG -o FOLDER
    python -m rsmamba_mm.run mmseg::get_flops CONFIG
    python -m rsmamba_mm.run my_script.py …

The cures of :mod:`rsmamba_mm.compat` come before the tool's own imports, and this package's models, data
sets, hooks and metrics are registered. ``PACKAGE::NAME`` is a tool of mmpretrain, mmseg or rsmamba_mm, by
its path in their folder of tools or by its name alone; without arguments all are listed.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from . import compat
from .errors import OptionError, UserError
from .paths import share

PACKAGES = ('mmpretrain', 'mmseg', 'rsmamba_mm')
REGISTERING = ('models', 'datasets', 'engine', 'evaluation')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line ``TOOL [ARGUMENT …]``.

    Args:
        argv (Sequence[str], optional): The arguments. Defaults to None, those of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ('-h', '--help'):
        print(__doc__)
        print('Tools:', *(name for package in PACKAGES for name in tools(package)), sep='\n  ')
        return
    try:
        script = find_tool(argv[0])
    except UserError as error:
        sys.exit(f'rsmamba_mm.run: {error}')
    for name in REGISTERING:  # the first brings the cures
        import_module(f'{__package__}.{name}')
    compat.apply_to_tools(script.stem)
    sys.argv = [str(script), *argv[1:]]
    sys.path.insert(0, str(script.parent))  # as for a script that is called itself
    runpy.run_path(str(script), run_name='__main__')


def tools(package: str) -> dict[str, Path]:
    """The tools that a package brings, ``PACKAGE::PATH`` to file; none where it is not installed."""
    folder = tools_folder(package)
    if folder is None or not folder.is_dir():
        return {}
    scripts = sorted(path for path in folder.rglob('*.py') if not path.name.startswith('_'))
    return {f'{package}::{path.relative_to(folder).as_posix()}': path for path in scripts}


def tools_folder(package: str) -> Path | None:
    """Where a package keeps its tools; None where it is not installed."""
    if package == __package__:
        return share() / 'tools'
    spec = find_spec(package)
    return None if spec is None else Path(spec.origin).parent / '.mim' / 'tools'


def find_tool(name: str) -> Path:
    """The script that ``PACKAGE::NAME`` or a path names.

    Raises:
        OptionError: If there is none, or several of that name.
    """
    package, colons, wanted = name.partition('::')
    if not colons:
        if Path(name).is_file():
            return Path(name)
        raise OptionError(f'no script {name}; a tool of OpenMMLab is named as mmpretrain::get_flops')
    if package not in PACKAGES:
        raise OptionError(f'{name}: tools are of {", ".join(PACKAGES)}, not of {package!r}')
    known = tools(package)
    if not known:
        raise OptionError(f'{name}: {package} is not installed, or brings no tools')
    wanted = wanted.removesuffix('.py') + '.py'
    found = {
        key: path for key, path in known.items() if f'/{key.partition("::")[2]}'.endswith(f'/{wanted}')
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if f'{package}::{wanted}' in found:
        return found[f'{package}::{wanted}']
    listed = '\n  '.join(found or known)
    said = 'may be one of several' if found else 'is not there; these are'
    raise OptionError(f'{name} {said}:\n  {listed}')


if __name__ == '__main__':
    main()
