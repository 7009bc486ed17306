"""The table of docs/reliability.md, and repeated checks that go on where they were cut."""

import json

import pytest
import reliability


def test_the_table_follows_from_what_was_recorded():
    page = (reliability.DOCS / 'reliability.md').read_text()
    rows = json.loads((reliability.DOCS / 'reliability.json').read_text()).values()
    assert f'<!-- table -->\n{reliability.table(list(rows))}\n<!-- end -->' in page


def test_blocks_go_on_where_they_were_cut(tmp_path, monkeypatch):
    monkeypatch.setenv('RSMAMBA_RELIABILITY', 'long')
    monkeypatch.setenv('RSMAMBA_RELIABILITY_DIR', str(tmp_path))
    done = []
    with pytest.raises(KeyboardInterrupt):
        for seed in reliability.Tally('test.py::test_it[a]').blocks(1, 4, 9):
            if seed == 2:
                raise KeyboardInterrupt
            done.append(seed)
    again = reliability.Tally('test.py::test_it[a]')
    assert done == [0, 1] and list(again.blocks(1, 4, 9)) == [2, 3]
    assert list(again.blocks(1, 4, 9)) == []
    again.record('Part', 'what', 4, 'held')
    assert json.loads((tmp_path / 'test_it-a.json').read_text())['times'] == 4
