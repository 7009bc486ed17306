"""The notebooks run from the beginning to the end, and keep what they show small."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip('nbformat', reason='notebooks need the extra tests')
nbclient = pytest.importorskip('nbclient', reason='notebooks need the extra tests')
pytest.importorskip('ipykernel', reason='notebooks need the extra tests')

FOLDER = Path(__file__).parents[2] / 'docs' / 'notebooks'
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason='needs a source tree')


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=120, resources={'metadata': {'path': str(FOLDER)}})
    client.execute()  # an error of a cell is raised
    printed = [
        out for cell in notebook.cells for out in cell.get('outputs', ()) if out.output_type == 'stream'
    ]
    assert not [out.text for out in printed if out.name == 'stderr']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_shows_is_there_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert all(cell.execution_count for cell in code), 'run it before it is committed'
    assert path.stat().st_size < 400_000
