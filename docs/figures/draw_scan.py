#!/usr/bin/env python3
"""Draw the picture of docs/scan.md: ``python docs/figures/draw_scan.py``.

Plain SVG, the same to the byte wherever it is drawn; the orders are those that the package has.
"""

from __future__ import annotations

from pathlib import Path

import torch

from rsmamba_mm.ops import make_orders

PICTURE = Path(__file__).with_name('scan.svg')
WIDTH, HEIGHT = 960, 600
INK, PALE, LINE = '#1f2933', '#7b8794', '#cbd2d9'
ONCE, ONCE_EDGE = '#dcecfb', '#2f6fb3'  # computed once
PATH, PATH_EDGE = '#fde8d3', '#c2571a'  # computed for each order
SIDE, CELL = 4, 34


def text(x: float, y: float, words: str, size: int = 13, fill: str = INK, more: str = '') -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" {more}>{words}</text>'


def middle(x: float, y: float, words: str, size: int = 13, fill: str = INK, more: str = '') -> str:
    return text(x, y, words, size, fill, f'text-anchor="middle" {more}'.strip())


def sub(letter: str, index: str = 'k') -> str:
    """A letter with an index below, for the words of a text."""
    return f'{letter}<tspan dy="4" font-size="10">{index}</tspan><tspan dy="-4">\u200b</tspan>'


def arrow(*points: tuple[float, float], stroke: str = PALE, width: float = 1.5) -> str:
    corners = ' '.join(f'{x:g},{y:g}' for x, y in points)
    return (
        f'<polyline points="{corners}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        f'stroke-linejoin="round" marker-end="url(#tip{stroke[1:]})"/>'
    )


def box(x: float, y: float, width: float, height: float, lines: list[str], once: bool) -> list[str]:
    """A step of the computation, with its words in the middle."""
    fill, edge = (ONCE, ONCE_EDGE) if once else (PATH, PATH_EDGE)
    drawn = [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" '
        f'stroke="{edge}" stroke-width="1.5"/>'
    ]
    top = y + height / 2 - 8 * (len(lines) - 1) + 4.5
    return drawn + [middle(x + width / 2, top + 16 * i, words) for i, words in enumerate(lines)]


def grid(x: float, y: float, name: str, order: list[int], title: str) -> list[str]:
    """The tokens of an image, and the way that an order takes through them."""
    drawn = [middle(x + SIDE * CELL / 2, y - 12, title, 14, INK, 'font-weight="600"')]
    for token in range(SIDE * SIDE):
        left, top = x + token % SIDE * CELL, y + token // SIDE * CELL
        drawn.append(
            f'<rect x="{left:g}" y="{top:g}" width="{CELL}" height="{CELL}" fill="#fff" stroke="{LINE}"/>'
        )
        drawn.append(text(left + 4, top + 12, str(token), 10, PALE))
    way = [(x + (i % SIDE + 0.5) * CELL, y + (i // SIDE + 0.55) * CELL) for i in order]
    drawn.append(arrow(*way, stroke=PATH_EDGE, width=2))
    drawn.append(f'<circle cx="{way[0][0]:g}" cy="{way[0][1]:g}" r="4" fill="{PATH_EDGE}"/>')
    halves = (order[:8], order[8:])
    for i, half in enumerate(halves):
        words = ' '.join(map(str, half))
        drawn.append(middle(x + SIDE * CELL / 2, y + SIDE * CELL + 18 + 15 * i, words, 11, PALE))
    return drawn


def orders() -> list[str]:
    """Four orders of a grid of 4 x 4 tokens."""
    names = ['forward', 'column', 'snake', 'shuffle']
    rows = make_orders(names, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).tolist()
    drawn = [text(30, 34, 'A scan order is a permutation of the tokens', 16, INK, 'font-weight="600"')]
    for place, (name, row) in enumerate(zip(names, rows, strict=True)):
        drawn += grid(62 + 232 * place, 76, name, row, name)
    return drawn


def mixer() -> list[str]:
    """What a mixer computes once, and what for each order."""
    top, lanes = 312, (372, 437, 502)
    drawn = [
        text(30, top, 'RSMamba’s mixer along three orders', 16, INK, 'font-weight="600"'),
        f'<rect x="500" y="{top - 12}" width="14" height="14" fill="{ONCE}" stroke="{ONCE_EDGE}"/>',
        text(520, top, 'once'),
        f'<rect x="580" y="{top - 12}" width="14" height="14" fill="{PATH}" stroke="{PATH_EDGE}"/>',
        text(600, top, 'for each order, with the same weights'),
    ]
    drawn += [middle(42, 441, 'tokens')]
    drawn += [arrow((66, 437), (84, 437))]
    drawn += box(88, 407, 94, 60, ['LayerNorm', 'in_proj'], once=True)
    for y, name in zip(lanes, ('forward', 'reverse', 'shuffle'), strict=True):
        drawn += [arrow((182, 437), (200, 437), (200, y), (222, y))]
        drawn += box(226, y - 23, 112, 46, ['convolution', name], once=False)
        drawn += [arrow((338, y), (354, y))]
        drawn += box(358, y - 23, 86, 46, ['x_proj', 'δ, B, C'], once=False)
        drawn += [arrow((444, y), (460, y))]
        drawn += box(464, y - 23, 86, 46, ['scan', name], once=False)
        drawn += [arrow((550, y), (584, y), (584, 437), (606, 437))]
    drawn += [text(206, 430, 'u')]
    drawn += [text(556, 364, sub('y'), 13, INK)]
    merged = f'SiLU(z) · Σ {sub("g")} {sub("y")}'
    drawn += box(610, 407, 168, 60, [merged, 'in token order'], once=True)
    drawn += [arrow((778, 437), (800, 437))]
    drawn += box(804, 407, 84, 60, ['out_proj'], once=True)
    drawn += [arrow((888, 437), (916, 437))]
    # the gate: pooled outputs of the paths, and z
    drawn += box(610, 500, 168, 52, ['gate: out_proj of the', 'K pooled outputs'], once=True)
    drawn += [arrow((584, 437), (584, 526), (606, 526)), arrow((694, 500), (694, 471))]
    drawn += [text(700, 489, sub('g'), 13, INK)]
    drawn += [arrow((135, 467), (135, 578), (792, 578), (792, 455), (782, 455))]
    drawn += [arrow((694, 578), (694, 556))]
    drawn += [text(142, 573, 'z')]
    return drawn


def draw() -> str:
    """The picture as SVG."""
    return '\n'.join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif" role="img">',
            '<title>Four scan orders of a grid of tokens, and what a mixer computes once or for each '
            'order</title>',
            '<defs>',
            *(
                f'<marker id="tip{stroke[1:]}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" '
                f'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" fill="{stroke}"/></marker>'
                for stroke in (PALE, PATH_EDGE)
            ),
            '</defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#fbfcfd"/>',
            *orders(),
            *mixer(),
            '</svg>\n',
        ]
    )


if __name__ == '__main__':
    PICTURE.write_text(draw(), encoding='utf-8')
    print(PICTURE)
