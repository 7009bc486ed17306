#!/usr/bin/env python3
"""Draw the picture of README.md: ``python docs/figures/draw_results.py``.

What the models of the package say of the images in docs/images, which they were not trained on.
"""

from __future__ import annotations

from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rsmamba_mm.apis import LandCoverSegmenter, SceneClassifier

IMAGES = Path(__file__).parents[1] / 'images'
PICTURE = Path(__file__).with_name('results.jpg')
SCENES = 'airplane01', 'denseresidential01', 'harbor00', 'river00'
MAPPED = 'dubai'


def draw() -> Figure:
    """Four scenes with the scores of the classes, and a map beside its image."""
    figure = Figure((11, 4.9), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(4, 7))
    axes = left.subplots(2, 2)
    left.suptitle('RSMamba names scenes', fontsize=11)
    classifier = SceneClassifier('rsmamba-t_ucmerced')
    for ax, name in zip(axes.flat, SCENES, strict=True):
        prediction = classifier(IMAGES / f'{name}.jpg')
        ax.imshow(prediction.image)
        words = '\n'.join(f'{label} {score:.2f}' for label, score in prediction.top(2))
        ax.set_title(words, fontsize=9, loc='left')
    segmenter = LandCoverSegmenter('unetmamba-tiny_dubai')
    cover = segmenter(IMAGES / f'{MAPPED}.jpg')
    right.suptitle('UNetMamba maps land cover', fontsize=11)
    image, labels = right.subplots(1, 2)
    image.imshow(cover.image)
    labels.imshow(cover.coloured)
    shown = [
        Patch(color=[value / 255 for value in colour], label=f'{name} {100 * share:.0f} %')
        for (name, share), colour in zip(cover.shares.items(), cover.palette, strict=True)
        if share >= 0.005
    ]
    right.legend(handles=shown, loc='outside lower center', ncols=3, fontsize=9, frameon=False)
    for ax in (*axes.flat, image, labels):
        ax.set_axis_off()
    return figure


if __name__ == '__main__':
    draw().savefig(PICTURE, dpi=100, pil_kwargs=dict(quality=75))
    print(PICTURE)
