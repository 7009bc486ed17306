"""Land-cover classes and the colours of their surfaces, RGB from 0 to 255."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MASK_CLASSES = (
    'bare_soil',
    'sand',
    'low_vegetation',
    'tree',
    'building',
    'pavement',
    'water',
    'vehicle',
)
SOIL, SAND, GRASS, TREE, BUILDING, PAVEMENT, WATER, VEHICLE = range(len(MASK_CLASSES))
Colour = tuple[float, float, float] | np.ndarray  # RGB, 0 to 255


class Season(NamedTuple):
    """Vegetation colours of one time of the year."""

    grass: tuple[Colour, ...]
    tree: tuple[Colour, ...]
    crop: tuple[Colour, ...]


SEASONS = (
    Season(  # green
        grass=((104, 122, 72), (88, 110, 62), (124, 134, 84)),
        tree=((52, 74, 42), (62, 84, 46), (44, 64, 44)),
        crop=((78, 112, 56), (110, 134, 66), (142, 146, 82), (92, 118, 76)),
    ),
    Season(  # dry
        grass=((168, 150, 108), (150, 138, 98), (182, 166, 122)),
        tree=((86, 92, 58), (74, 82, 54), (98, 98, 66)),
        crop=((188, 168, 108), (172, 150, 92), (202, 184, 130), (120, 126, 74)),
    ),
    Season(  # autumn
        grass=((128, 122, 76), (142, 128, 84), (112, 112, 70)),
        tree=((126, 92, 54), (138, 110, 62), (96, 90, 54), (112, 76, 52)),
        crop=((162, 136, 84), (148, 126, 82), (126, 122, 68), (178, 156, 100)),
    ),
    Season(  # winter
        grass=((138, 132, 110), (122, 122, 98), (150, 142, 122)),
        tree=((98, 88, 76), (110, 98, 84), (60, 70, 54)),
        crop=((140, 128, 104), (116, 122, 84), (152, 140, 116), (128, 112, 90)),
    ),
)
SOILS = ((152, 124, 92), (122, 96, 72), (178, 152, 118), (108, 90, 72), (148, 134, 116))
SANDS = ((208, 190, 154), (190, 170, 136), (222, 210, 182), (166, 150, 126), (196, 190, 178))
WATERS = ((46, 72, 100), (58, 94, 104), (72, 92, 74), (94, 98, 74), (36, 48, 54), (84, 126, 128))
PAVEMENTS = ((92, 92, 94), (70, 72, 76), (160, 156, 146), (128, 122, 112), (112, 112, 116))
ROOFS = (
    (160, 98, 72),
    (122, 94, 76),
    (132, 130, 128),
    (82, 84, 88),
    (204, 202, 196),
    (176, 156, 128),
    (104, 116, 130),
)
CAR_PAINTS = (
    (232, 232, 230),
    (214, 214, 214),
    (178, 180, 184),
    (120, 124, 130),
    (48, 50, 56),
    (34, 34, 38),
    (128, 38, 36),
    (46, 66, 112),
    (150, 136, 108),
)
HULLS = ((238, 238, 234), (226, 224, 216), (238, 236, 228), (64, 88, 128), (140, 54, 48))
ROAD_PAINT = (226, 224, 214)
YELLOW_PAINT = (216, 180, 76)
CONCRETE = (172, 168, 158)
FOAM = (236, 238, 236)
