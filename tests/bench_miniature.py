"""A miniature of the bench: two trainings of seconds on drawn scenes, and runs that were never trained."""

from argparse import Namespace
from pathlib import Path

import numpy as np

from rsmamba_mm.apis import prepare_train
from rsmamba_mm.apis.bench.experiments import Bench, read_bench
from rsmamba_mm.apis.bench.journal import Journal
from rsmamba_mm.apis.bench.runs import record_run

CONFIG = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_synthetic-128px.py'
model = dict(backbone=dict(img_size=64))
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(num_images=8, img_size=64))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(num_images=12, img_size=64))
test_dataloader = dict(num_workers=0, dataset=dict(num_images=24, img_size=64))
train_cfg = dict(val_interval=2)
"""
EXPERIMENTS = """
datasets:
  scenes:
    title: Drawn scenes
    images: {{train: 8, held_out: 12, test: 24}}
    metrics: [macro_f1, accuracy]
    fetch: draw them
    size: 64
experiments:
  small: {{title: Small, config: {config}, dataset: scenes, images_seen: 32, paper: {{accuracy: 90.5}}}}
  other: {{title: Other, config: {config}, dataset: scenes, images_seen: 32}}
  third: {{title: Third, config: {config}, dataset: scenes, images_seen: 32}}
compared:
  - [small, other]
questions:
  third: {{title: 'Is the third better?', experiments: [small, third]}}
readmes: [page.md]
"""
PAGE = 'Before\n\n<!-- results: small other -->\n<!-- end of results -->\n\nAfter\n'


def make_bench(root: Path, folder: Path) -> Bench:
    """The miniature in a folder."""
    config = folder / 'scenes.py'
    config.write_text(CONFIG.format(root=root))
    (folder / 'experiments.yml').write_text(EXPERIMENTS.format(config=config))
    (folder / 'page.md').write_text(PAGE)
    (folder / 'data' / 'scenes').mkdir(parents=True)
    return read_bench(folder)


def train_here(config: Path, folder: Path, deadline: float | None = None) -> None:
    """In place of ``running.train``: in this process, which has imported all already."""
    options = None if deadline is None else dict(deadline=deadline)
    args = Namespace(config=str(config), work_dir=str(folder), resume='auto', cfg_options=options)
    prepare_train(args).train()


def add_run(bench: Bench, name: str, right: int, work: Path) -> Path:
    """Keep a run of an experiment that names the first ``right`` of 24 test images rightly."""
    journal = Journal(work / name)
    truth = np.arange(24) % 3
    found = np.where(np.arange(24) < right, truth, (truth + 1) % 3)
    part = np.stack([truth, found], axis=1)
    journal.add_facts(commit='0', machine='a machine', versions={}, classes=['a', 'b', 'c'], parameters=7)
    for epoch in range(1, 5):
        journal.add_epoch(epoch, 8 * epoch, 30.0, 1 / epoch)
        if epoch % 2 == 0:
            images = np.array([f'{i}.png' for i in range(24)])
            figures = dict(held_out=50.0, test=macro_f1(part))
            journal.judge(figures, 10.0, test=part, test_images=images)
    return record_run(bench, bench.experiments[name], 0, journal)


def macro_f1(judged: np.ndarray) -> float:
    """As scikit-learn defines it."""
    truth, found = np.eye(3)[judged.T]
    return 100 * float(np.mean(2 * (truth * found).sum(0) / (truth + found).sum(0)))
