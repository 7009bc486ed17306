"""The site: ``make docs``. Its source is the whole tree, so that links are those of the repository."""

import rsmamba_mm
import rsmamba_mm.datasets
import rsmamba_mm.engine
import rsmamba_mm.models

project = 'rsmamba_mm'
author = 'The rsmamba_mm contributors'
copyright = f'2026, {author}'
version = release = rsmamba_mm.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
root_doc = 'docs/index'
include_patterns = [
    'docs/**',
    'configs/*/README.md',
    'rsmamba_mm/ops/README.md',
    'rsmamba_mm/zoo/*/README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
]
exclude_patterns = ['.*', 'build', 'dist', 'work_dirs', 'data', 'tests', 'docs/results/runs']

myst_heading_anchors = 3
nb_execution_mode = 'off'  # a test runs the notebooks; the pages show what they left
autodoc_default_options = {'members': True, 'imported-members': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings have them
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are told once

html_theme = 'furo'
html_title = f'rsmamba_mm {release}'
html_show_sphinx = False
