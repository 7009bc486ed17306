"""Build of the package.

The wheel carries ``configs``, ``tools`` and ``model-index.yml`` in ``rsmamba_mm/.mim``, as the
packages of OpenMMLab do. An editable install uses those of the source tree. Where
``python -m rsmamba_mm.ops.build --portable`` has left the library of the native CPU backend in the tree,
the wheel carries it too and its tag names the platform; see ``make wheel``.
"""

import re
import shutil
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM = ('configs', 'tools', 'model-index.yml')
LIBRARIES = 'ops/backends/cpu/lib'
EXTRAS = ('mm', 'openmmlab', 'cuda', 'geo', 'export', 'app', 'docs', 'tests')


class BuildWithConfigs(build_py):
    """Add ``.mim`` to a wheel."""

    def run(self) -> None:
        package = Path(self.build_lib) / 'rsmamba_mm'
        mim = package / '.mim'
        for folder in (mim, package / LIBRARIES):
            shutil.rmtree(folder, ignore_errors=True)  # an earlier build leaves its files here
        super().run()
        if self.editable_mode:
            return
        mim.mkdir()
        for name in filter(lambda name: (ROOT / name).exists(), MIM):
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.copytree(ROOT / name, mim / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, mim)


class DistributionWithLibraries(Distribution):
    """Bound to a platform where it carries libraries."""

    def has_ext_modules(self) -> bool:
        return any((ROOT / 'rsmamba_mm' / LIBRARIES).glob('*.so'))


class WheelForAnyPython(bdist_wheel):
    """The libraries are loaded by ctypes: any Python 3 takes them."""

    def get_tag(self) -> tuple[str, str, str]:
        return 'py3', 'none', super().get_tag()[2]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding='utf-8') if (ROOT / path).exists() else ''


def read_requirements(name: str) -> list[str]:
    lines = (line.partition('#')[0].strip() for line in read(f'requirements/{name}.txt').splitlines())
    return [line for line in lines if line]


setup(
    name='rsmamba_mm',
    version=re.search(r"__version__ = '(.+)'", read('rsmamba_mm/version.py')).group(1),
    description='RSMamba and UNetMamba for remote sensing, as a plug-in of OpenMMLab',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    author='The rsmamba_mm contributors',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    keywords='remote sensing, Mamba, scene classification, semantic segmentation',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',  # the only one that it has run on (docs/platforms.md)
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['rsmamba_mm', 'rsmamba_mm.*']),
    package_data={'rsmamba_mm': ['py.typed', '**/*.cpp', '**/*.h', 'zoo/*/*', f'{LIBRARIES}/*.so']},
    install_requires=read_requirements('runtime'),
    extras_require={name: read_requirements(name) for name in EXTRAS},
    distclass=DistributionWithLibraries,
    cmdclass={'build_py': BuildWithConfigs, 'bdist_wheel': WheelForAnyPython},
    zip_safe=False,
)
