"""``compile`` of a config compiles what a training step computes."""

from argparse import Namespace

import pytest
import torch
from mmengine.config import Config

from rsmamba_mm.apis import prepare_train

CONFIG = 'configs/rsmamba/rsmamba-t_synthetic-128px.py'


@pytest.mark.slow
def test_compile_of_a_config(root, tmp_path):
    cfg = Config.fromfile(root / CONFIG)
    cfg.model.backbone.arch.num_layers = 1
    cfg.compile = dict(backend='eager')  # traced, as for a compiler
    cfg.train_cfg.max_epochs, cfg.visualizer = 1, None
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.num_images = 4
    cfg.dump(tmp_path / 'config.py')
    args = Namespace(
        config=str(tmp_path / 'config.py'), work_dir=str(tmp_path), launcher='none', no_validate=True
    )
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    runner = prepare_train(args)
    runner.train()
    assert runner.iter == 2 and torch._dynamo.utils.counters['stats']['unique_graphs'] == 1
    assert not torch._dynamo.utils.counters['graph_break']
