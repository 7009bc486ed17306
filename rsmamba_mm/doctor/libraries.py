"""OpenMMLab and what comes with it, and the optional parts of this package."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING

from .. import compat
from ..paths import PACKAGE
from .machine import first_line
from .report import Section

if TYPE_CHECKING:
    from packaging.requirements import Requirement

COLLECTED = ('GCC', 'CUDA_HOME', 'NVCC', 'MUSA available', 'OpenCV')  # of MMEngine's own report
INDEX = 'https://download.pytorch.org/whl'  # of PyTorch's builds
OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python')
EXTRAS = ('geo', 'export', 'app', 'cuda', 'tests')
STACKS = {'maintained': 'mm', 'upstream': 'openmmlab'}
EITHER = ('mmpretrain', 'mmsegmentation')  # one of the two kinds of models is enough


def openmmlab(section: Section) -> None:
    """Which stack is installed, and whether it can be imported after the cures."""
    for name in (name for fork, rivals in compat._RIVALS.items() for name in (fork, *rivals)):
        if version := compat._release(name):
            section.say(name, version)
    try:
        stack = compat.check_stack()
        section.say('stack', stack)
        compat.apply()
    except RuntimeError as error:
        section.stop(error)
    for name in ('mmcv', 'mmpretrain', 'mmseg'):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            section.say(name, 'not installed')
        except Exception as error:
            section.find(
                f'{name} cannot be imported ({type(error).__name__}: {first_line(error)})',
                f'install the set that is tested: pip install -c requirements/constraints.txt '
                f'"rsmamba_mm[{STACKS[stack]}]"',
            )
    _collected(section)
    _opencv(section)
    _torchvision(section)


def _collected(section: Section) -> None:
    from mmengine.utils.dl_utils import collect_env

    told = collect_env()
    for name in COLLECTED:
        if told.get(name):
            section.say(name, told[name])


def _opencv(section: Section) -> None:
    installed = {name: version for name in OPENCV if (version := compat._release(name))}
    if len(set(installed.values())) > 1:
        section.find(
            'several releases of OpenCV overwrite each other: '
            + ', '.join(f'{name} {version}' for name, version in installed.items()),
            f'pip uninstall -y {" ".join(installed)}\npip install opencv-python-headless',
        )
    import cv2
    import numpy as np

    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    if not np.array_equal(cv2.imdecode(cv2.imencode('.png', image)[1], cv2.IMREAD_COLOR), image):
        section.find(
            'OpenCV reads another image than it has written',
            'pip install --force-reinstall --no-deps opencv-python-headless',
        )


def _torchvision(section: Section) -> None:
    import torch
    import torchvision

    section.say('torchvision', torchvision.__version__)
    try:
        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (RuntimeError, NotImplementedError):
        # nothing of this package needs them, and compat.py has made the import work
        release, build = torchvision.__version__.partition('+')[0], torch.__version__.partition('+')[2]
        for line in (
            'it is built for another PyTorch: its compiled operators do not run. Nothing needs them where',
            'rsmamba_mm is imported before mmpretrain and mmseg. To mend it: pip install --force-reinstall',
            f'--no-deps torchvision=={release} --index-url {INDEX}/{build or "cpu"}',
        ):
            section.say('', line)


def extras(section: Section) -> None:
    """What is installed of the package's requirements, by its extras."""
    try:
        import packaging.requirements  # noqa: F401
    except ImportError:
        section.say('versions', 'not compared: pip install packaging')
        return
    try:
        stack = [STACKS[compat.check_stack()]]
    except RuntimeError:  # which the section of OpenMMLab tells
        stack = []
    for needed in (each for extra in ('', *stack) for each in _requirements(extra)):
        version = compat._release(needed.name)
        if version is None and needed.name.removeprefix('onedl-') in EITHER:
            continue
        if version is None or not needed.specifier.contains(version, prereleases=True):
            section.find(
                f'{needed.name}{needed.specifier} is needed, and {version or "none"} is installed',
                f'pip install "{needed.name}{needed.specifier}"',
            )
    for extra in EXTRAS:
        lacking = [each.name for each in _requirements(extra) if compat._release(each.name) is None]
        if lacking:
            listed = (
                ', '.join(lacking) if len(lacking) < 5 else f'{lacking[0]} and {len(lacking) - 1} others'
            )
            section.say(extra, f'optional, without {listed}: pip install "rsmamba_mm[{extra}]"')
        else:
            section.say(extra, 'present')


def _requirements(extra: str) -> list[Requirement]:
    """What an extra brings on this machine; what the package itself needs, if it has no name."""
    from packaging.requirements import Requirement

    file = PACKAGE.parent / 'requirements' / f'{extra or "runtime"}.txt'
    if file.is_file():  # a source tree, which may be newer than what was installed from it
        lines = (line.partition('#')[0].strip() for line in file.read_text().splitlines())
        needed = [Requirement(line) for line in lines if line]
        return [each for each in needed if each.marker is None or each.marker.evaluate()]
    needed = [Requirement(text) for text in metadata.requires('rsmamba_mm') or []]
    if not extra:
        return [each for each in needed if each.marker is None or each.marker.evaluate({'extra': ''})]
    return [
        each
        for each in needed
        if each.marker is not None
        and each.marker.evaluate({'extra': extra})
        and not each.marker.evaluate({'extra': ''})
    ]
