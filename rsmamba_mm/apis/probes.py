"""What features of an encoder are worth: linear and nearest-neighbour classifiers on them, and fine-tuning,
always beside the same encoder with random weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import set_random_seed
from torch import Tensor

from ..errors import OptionError
from .bench.scores import confusions
from .bench.statistics import Estimate, difference, sample

PROBES = ('linear', 'knn', 'finetune')
STRENGTHS = tuple(10.0**power for power in range(-5, 1))  # of the penalty of a linear classifier
NEIGHBOURS, TEMPERATURE = 20, 0.07


class Features:
    """Features of the parts of a data set: ``train``, ``held_out`` and ``test``, each ``(N, C)`` and labels
    ``(N,)``."""

    def __init__(self, parts: Mapping[str, tuple[Tensor, Tensor]], classes: int) -> None:
        self.parts, self.classes = dict(parts), classes

    def normed(self) -> Features:
        """With each channel of the training part at zero mean and unit variance."""
        mean, std = self.parts['train'][0].mean(0), self.parts['train'][0].std(0) + 1e-6
        parts = {name: ((x - mean) / std, y) for name, (x, y) in self.parts.items()}
        return Features(parts, self.classes)


def probe(
    config: Config,
    checkpoint: str | None = None,
    probes: Sequence[str] = ('linear', 'knn'),
    seeds: int = 3,
    token: bool = False,
    device: str | None = None,
    work_dir: str | Path = 'work_dirs/probe',
    say=print,
) -> dict[str, dict[str, Estimate]]:
    """Judge a pre-trained encoder on the test part of a classification config.

    Args:
        config (Config): Of a classifier, such as ``configs/roma/clustermamba-mini_ucmerced-half-96px.py``.
        checkpoint (str, optional): Of the pre-training. Defaults to None, that of the config.
        probes (Sequence[str]): Some of ``'linear'``, a linear classifier on frozen features, its penalty
            chosen on the held-out part; ``'knn'``, the 20 nearest by cosine, weighted (DINO,
            arXiv:2104.14294, Sec. 4.1); ``'finetune'``, a whole training by the
            config. Defaults to the first two.
        seeds (int): Random weights of the control, and trainings of either side. Defaults to 3.
        token (bool): Whether to take a class token in the middle, as published, in place of the mean of the
            patches. No pre-training has seen it. Defaults to False.
        device (str, optional): Where features are computed. Defaults to None, a GPU if there is one.
        work_dir (str | Path): Folder for the trainings of ``'finetune'``. Defaults to ``work_dirs/probe``.
        say (Callable): What tells the user of the progress. Defaults to ``print``.

    Returns:
        dict[str, dict[str, Estimate]]: By the probe ``'pretrained'``, ``'random'`` and their
        ``'difference'``: accuracy in per cent with a 95 % interval over the test images, in the mean over
        the seeds.

    Raises:
        OptionError: If the config is of no classifier, or has no checkpoint.
    """
    unknown = [name for name in probes if name not in PROBES]
    if unknown or not probes or seeds < 1:
        raise OptionError(f'probes are some of {", ".join(PROBES)}, by 1 seed or more; got {list(probes)}')
    pretrained, random = _sides(config, checkpoint, token)
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    judged: dict[str, dict[str, list[np.ndarray]]] = {}
    frozen = [name for name in probes if name != 'finetune']
    if frozen:
        # the weights of the pre-training are always the same; what it has not is drawn by the seed
        sides = [('pretrained', pretrained, seed) for seed in range(seeds if token else 1)]
        sides += [('random', random, seed) for seed in range(seeds)]
        encoders = [encoder(cfg, seed).to(device) for _, cfg, seed in sides]
        for (side, _, seed), features in zip(sides, extract_features(encoders, config), strict=True):
            for name in frozen:
                found = dict(linear=linear_probe, knn=knn_probe)[name](features.normed())
                judged.setdefault(name, {}).setdefault(side, []).append(_confusions(features, found))
            say(f'{side}, seed {seed}: {", ".join(frozen)} done')
    if 'finetune' in probes:
        for side, cfg in (('pretrained', pretrained), ('random', random)):
            for seed in range(seeds):
                say(f'{side}, seed {seed}: fine-tuning in {Path(work_dir) / side / f"seed{seed}"}')
                counts = fine_tuned(cfg, seed, Path(work_dir) / side / f'seed{seed}')
                judged.setdefault('finetune', {}).setdefault(side, []).append(counts)
    found = {}
    for name, sides in judged.items():
        samples = {side: sample(counts, ['accuracy'])['accuracy'] for side, counts in sides.items()}
        found[name] = {side: each.estimate for side, each in samples.items()}
        found[name]['difference'] = difference(samples['pretrained'], samples['random'])
    return found


def encoder(cfg: Config, seed: int = 0) -> Any:
    """A config's classifier in evaluation mode; what no checkpoint of it has is drawn by the seed."""
    set_random_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
        model = MODELS.build(dict(cfg.model, data_preprocessor=preprocessor))
        logging.disable(logging.INFO)  # MMEngine lists how each parameter was initialised
        try:
            model.init_weights()
        finally:
            logging.disable(logging.NOTSET)
    return model.eval()


def extract_features(models: Sequence[Any], cfg: Config) -> list[Features]:
    """Features of encoders, of the images as a config's test pipeline gives them.

    Args:
        models (Sequence[nn.Module]): Classifiers, each with a backbone; each image is loaded once for all.
        cfg (Config): Whose data to take.

    Returns:
        list[Features]: Of each, of its train, val and test data; where there is no val data, of a fifth of
        the training.
    """
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    classes = 0
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = cfg.test_dataloader.dataset.pipeline
        for part, key in (('train', 'train'), ('held_out', 'val'), ('test', 'test')):
            loader = cfg.get(f'{key}_dataloader')
            if loader:
                dataset = DATASETS.build(dict(loader.dataset, pipeline=pipeline, test_mode=True))
                classes = len(dataset.metainfo['classes'])
                parts[part] = _features_of(models, dataset, loader.batch_size)
    if 'held_out' not in parts:
        fifth = torch.arange(len(parts['train'][0][1])) % 5 == 0
        parts['held_out'] = [(x[fifth], y[fifth]) for x, y in parts['train']]
        parts['train'] = [(x[~fifth], y[~fifth]) for x, y in parts['train']]
    return [Features({part: each[i] for part, each in parts.items()}, classes) for i in range(len(models))]


def linear_probe(features: Features) -> Tensor:
    """Classes ``(N,)`` of the test part by multinomial logistic regression.

    The penalty is the one that is best on the held-out part, which the last fit learns from as well.
    """
    train, held_out = features.parts['train'], features.parts['held_out']
    right = []
    for strength in STRENGTHS:
        weight, bias = _logistic(train[0], train[1], features.classes, strength)
        right.append((_scores(held_out[0], weight, bias).argmax(1) == held_out[1]).float().mean().item())
    both = [torch.cat(pair) for pair in zip(train, held_out, strict=True)]
    best = STRENGTHS[max(range(len(right)), key=lambda i: (right[i], i))]
    return _scores(features.parts['test'][0], *_logistic(both[0], both[1], features.classes, best)).argmax(
        1
    )


def knn_probe(features: Features, neighbours: int = NEIGHBOURS, temperature: float = TEMPERATURE) -> Tensor:
    """Classes ``(N,)`` of the test part by the nearest other images, weighted by ``exp(cos / t)``."""
    parts = (features.parts['train'], features.parts['held_out'])
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    known = F.normalize(x)
    found = []
    for queries in features.parts['test'][0].split(512):
        similarity, nearest = (F.normalize(queries) @ known.T).topk(min(neighbours, len(y)))
        votes = F.one_hot(y[nearest], features.classes) * (similarity / temperature).exp()[..., None]
        found.append(votes.sum(1).argmax(1))
    return torch.cat(found)


def fine_tuned(cfg: Config, seed: int, work_dir: Path) -> np.ndarray:
    """Confusions ``(N, C, C)`` of the test part after a training by a config, at its last epoch."""
    from .mistakes import judge_images
    from .runner import build_runner

    cfg = copy.deepcopy(cfg)
    cfg.work_dir, cfg.randomness = str(work_dir), dict(seed=seed)
    cfg.default_hooks.checkpoint.save_best = None
    runner = build_runner(cfg)
    runner.train()
    loader: Any = runner.build_dataloader(cfg.test_dataloader)
    runner.model.eval()
    images = judge_images(runner.model, loader)
    judged = np.array([(image.truth, image.prediction) for image in images])
    return confusions(judged, len(loader.dataset.metainfo['classes']))


def describe(results: Mapping[str, Mapping[str, Estimate]]) -> str:
    """A table of what :func:`probe` found."""
    lines = [f'{"probe":10} {"pre-trained":>22} {"random weights":>22} {"difference":>24}']
    for name, sides in results.items():
        cells = [f'{e.mean:.2f} [{e.low:.2f}, {e.high:.2f}]' for e in list(sides.values())[:2]]
        d = sides['difference']
        cells.append(f'{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]')
        lines.append(f'{name:10} {cells[0]:>22} {cells[1]:>22} {cells[2]:>24}')
    return '\n'.join(lines)


def _sides(config: Config, checkpoint: str | None, token: bool) -> tuple[Config, Config]:
    """The config with the checkpoint, and with random weights."""
    model: Any = config.get('model') or {}
    if model.get('type') != 'ImageClassifier':
        raise OptionError(
            f'{config.filename}: a probe needs the config of a classifier on the encoder, with its data, '
            f'such as configs/roma/clustermamba-mini_ucmerced-half-96px.py; got a {model.get("type")}'
        )
    sides: tuple[Any, Any] = copy.deepcopy(config), copy.deepcopy(config)
    own = model.backbone.get('init_cfg')
    own = own if isinstance(own, Mapping) and own.get('type') == 'Pretrained' else None
    if checkpoint is not None:
        own = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    if own is None:
        raise OptionError(
            f'{config.filename} names no checkpoint of a pre-training (model.backbone.init_cfg): give one'
        )
    if not Path(own['checkpoint']).is_file() and '://' not in str(own['checkpoint']):
        raise OptionError(
            f'the checkpoint {own["checkpoint"]} is not there: pre-train first (configs/roma/README.md), '
            'or give another one'
        )
    sides[0].model.backbone.init_cfg = own
    if isinstance(model.backbone.get('init_cfg'), Mapping):
        sides[1].model.backbone.pop('init_cfg')
    for side in sides if token else ():
        side.model.backbone.update(cls_position='middle', out_type='cls_token')
    return sides


def _features_of(models: Sequence[Any], dataset: Any, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Of each model the features of a data set, and their labels."""
    features: list[list[Tensor]] = [[] for _ in models]
    labels: list[int] = []
    for start in range(0, len(dataset), batch_size):
        samples = [dataset[index] for index in range(start, min(start + batch_size, len(dataset)))]
        labels += [int(sample['data_samples'].gt_label) for sample in samples]
        for model, found in zip(models, features, strict=True):
            inputs = model.data_preprocessor(pseudo_collate(samples))['inputs']
            with torch.no_grad():
                last = model.backbone(inputs)[-1]
            found.append((last if last.dim() == 2 else last.flatten(2).mean(2)).float().cpu())
    return [(torch.cat(found), torch.tensor(labels)) for found in features]


def _logistic(x: Tensor, y: Tensor, classes: int, strength: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the least mean cross-entropy with ``strength / 2`` of the squared weights."""
    weight, bias = (torch.zeros(shape, requires_grad=True) for shape in ((classes, x.shape[1]), (classes,)))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(_scores(x, weight, bias), y) + strength / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()


def _scores(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x, weight, bias)


def _confusions(features: Features, found: Tensor) -> np.ndarray:
    return confusions(torch.stack([features.parts['test'][1], found], 1).numpy(), features.classes)
