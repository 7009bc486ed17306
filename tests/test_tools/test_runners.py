"""Runners that one process makes one after the other."""

import time
from argparse import Namespace

from mmengine.registry import DefaultScope

from rsmamba_mm.apis import prepare_test


def test_runners_of_one_second_are_each_in_their_scope(scenes, land_cover, tmp_path, monkeypatch):
    """MMEngine finds the scope of the first one again, which is then not the last that was entered."""
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now)
    for trained, scope in ((land_cover, 'mmseg'), (scenes, 'mmpretrain'), (land_cover, 'mmseg')):
        args = Namespace(
            config=str(trained.config), checkpoint=str(trained.checkpoint), work_dir=str(tmp_path)
        )
        prepare_test(args)
        assert DefaultScope.get_current_instance().scope_name == scope
