"""Vegetation, houses, vehicles and roads, which serve every scene class."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Scene
from .materials import (
    BUILDING,
    CAR_PAINTS,
    CONCRETE,
    GRASS,
    PAVEMENT,
    ROAD_PAINT,
    ROOFS,
    SOIL,
    TREE,
    VEHICLE,
    WATER,
    Colour,
)
from .shapes import blob, boxes, place, ribbon, winding_line


def draw_trees(scene: Scene, centres: np.ndarray, radius: float | np.ndarray) -> None:
    """Tree crowns with a raised, sunlit top."""
    number = len(centres)
    if not number:
        return
    radius = np.broadcast_to(radius, number)
    turn = np.arange(9) * (2 * math.pi / 9) + scene.rng.uniform(0, 1, (number, 1))
    wobble = scene.rng.uniform(0.82, 1.12, (number, 9)) * radius[:, None]
    crown = np.stack([np.cos(turn), np.sin(turn)], -1) * wobble[..., None]
    colours = scene.pick_colours(scene.season.tree, number)
    top_colours = np.clip(colours * 1.16 + 4, 0, 255)
    height = np.clip(radius * scene.rng.uniform(1.4, 2.2, number), 1.5, 22)
    towards_sun = scene.sun @ scene.rotation * 0.18  # image plane to frame
    tops = (centres + radius[:, None] * towards_sun)[:, None] + 0.58 * crown
    crowns = centres[:, None] + crown
    # Tree by tree, so that a later crown covers an earlier one whole.
    order = np.stack([crowns, tops], 1).reshape(-1, 9, 2)
    colours = np.stack([colours, top_colours], 1).reshape(-1, 3)
    heights = np.stack([0.7 * height, height], 1).ravel()
    scene.polygons(order, TREE, colours, heights)


def scatter_trees(scene: Scene, pitch: float, share: float, on: tuple[int, ...] = (GRASS,)) -> None:
    """Single trees on a share of the places of a loose grid, where the ground allows it."""
    spots = scene.lattice(pitch, pitch, 0.5)
    spots = spots[(scene.rng.random(len(spots)) < share) & np.isin(scene.cover_at(spots), on)]
    draw_trees(scene, spots, scene.rng.uniform(1.6, 4.2, len(spots)))


def draw_houses(
    scene: Scene,
    centres: np.ndarray,
    length: np.ndarray,
    width: np.ndarray,
    angle: float | np.ndarray = 0.0,
    colours: np.ndarray | None = None,
) -> None:
    """Houses with hipped or gabled roofs, each face lit by its slope towards the sun."""
    number = len(centres)
    if not number:
        return
    hip = np.where(scene.rng.random(number) < 0.5, 0.0, 0.5 * np.minimum(width / length, 0.9))
    corner = boxes(centres, length, width, angle)
    ridge = [
        place(np.array([(side, 0.0)]), centres, length * (1 - 2 * hip), width, angle)[:, 0]
        for side in (-0.5, 0.5)
    ]
    faces = [
        (corner[:, 0], corner[:, 1], ridge[1], ridge[0]),
        (corner[:, 2], corner[:, 3], ridge[0], ridge[1]),
        (corner[:, 1], corner[:, 2], ridge[1], ridge[1]),
        (corner[:, 3], corner[:, 0], ridge[0], ridge[0]),
    ]
    colours = scene.pick_colours(ROOFS, number) if colours is None else colours
    heights = scene.rng.uniform(4.0, 7.0, number)
    scene.polygons(corner, BUILDING, colours, heights)
    sun = scene.sun @ scene.rotation
    for face in faces:
        eaves = face[1] - face[0]
        outward = np.stack([eaves[:, 1], -eaves[:, 0]], 1)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        light = 1 + 0.24 * (outward @ sun)[:, None]
        scene.polygons(np.stack(face, 1), BUILDING, np.clip(colours * light, 0, 250), heights)


def draw_flat_building(scene: Scene, centre: np.ndarray, length: float, width: float) -> None:
    """Large building with a flat roof, a parapet and a few ventilation boxes."""
    centre = np.atleast_2d(centre)
    roof = scene.vary(scene.pick(ROOFS[1:]), 0.08)
    height = scene.rng.uniform(5, 11)
    scene.polygons(boxes(centre, length, width), BUILDING, np.clip(roof * 1.15, 0, 245), height)
    scene.polygons(boxes(centre, length - 1.6, width - 1.6), BUILDING, roof, height - 0.5)
    number = scene.rng.integers(3, 8)
    spots = centre + scene.rng.uniform(-0.4, 0.4, (number, 2)) * (length, width)
    sizes = scene.rng.uniform(1.2, 2.6, (2, number))
    scene.polygons(boxes(spots, *sizes), BUILDING, scene.vary((176, 176, 174), 0.1), height + 1)


CAR_BODY = np.array(
    [(-0.5, -0.36), (-0.44, -0.5), (0.4, -0.5), (0.5, -0.34),
     (0.5, 0.34), (0.4, 0.5), (-0.44, 0.5), (-0.5, 0.36)]
)  # fmt: skip


def draw_cars(scene: Scene, centres: np.ndarray, angle: float | np.ndarray = 0.0) -> None:
    """Cars with dark glass about a painted roof."""
    number = len(centres)
    if not number:
        return
    length = scene.rng.normal(4.6, 0.3, number)
    heading = angle + math.pi * (scene.rng.random(number) < 0.5)
    paint = scene.pick_colours(CAR_PAINTS, number, 0.05)
    nose = np.stack([np.cos(heading), np.sin(heading)], 1)
    cabin = centres - 0.3 * nose
    scene.polygons(place(CAR_BODY, centres, length, 1.9, heading), VEHICLE, paint, 1.2)
    scene.polygons(boxes(cabin, 0.55 * length, 1.6, heading), VEHICLE, 0.35 * paint + 14, 1.5)
    scene.polygons(boxes(cabin, 0.30 * length, 1.5, heading), VEHICLE, paint, 1.6)


def draw_road(scene: Scene, line: np.ndarray, width: float, colour: Colour, shoulder: float = 0.0) -> None:
    """Paved band along a line, with a lighter pavement ``shoulder`` metres wide at each side."""
    if shoulder:
        kerb = 0.6 * np.asarray(colour) + 0.4 * np.asarray(CONCRETE)
        scene.region(ribbon(line, width + 2 * shoulder), PAVEMENT, kerb)
    scene.region(ribbon(line, width), PAVEMENT, colour)


def draw_dashes(
    scene: Scene, start: float, stop: float, v: float, dash: float, gap: float,
    width: float, colour: Colour = ROAD_PAINT, swap: bool = False,
) -> None:  # fmt: skip
    """Dashed marking along u at offset v (along v at offset u with ``swap``)."""
    u = np.arange(start + dash / 2, stop, dash + gap)
    centres = np.stack([u, np.full_like(u, v)], 1)
    size = (dash, width)
    if swap:
        centres, size = centres[:, ::-1], size[::-1]
    scene.polygons(boxes(centres, *size), PAVEMENT, colour)


def lay_ground(scene: Scene, bare_chance: float = 0.3) -> None:
    """Cover the scene with grass that thins to bare soil, or with soil that carries grass."""
    threshold = -0.2 if scene.chance(bare_chance) else 1.6
    patches = scene.noise(26.0) + 0.45 * scene.noise(8.0) + 0.25 * scene.noise(2.0) - threshold
    share = np.clip(0.5 + 0.9 * patches, 0, 1)
    colours = scene.grass + share[..., None] * (0.85 * (scene.soil - scene.grass))
    scene.paint(colours, np.where(patches > 0, SOIL, GRASS))


def sprinkle(scene: Scene) -> None:
    """Things that turn up in any open country: a track, a pond, a cottage."""
    radius = scene.extent / 2
    if scene.chance(0.3):
        track = winding_line(scene, 5, 90, offset=scene.rng.uniform(0.5, 0.9) * radius)
        scene.region(ribbon(track, scene.rng.uniform(2.5, 4)), SOIL, scene.vary(scene.soil, 0.1))
    if scene.chance(0.15):
        centre = scene.rng.uniform(-0.9, 0.9, 2) * radius
        scene.region(blob(scene, centre, scene.rng.uniform(4, 7), 0.15), WATER, scene.water)
    if scene.chance(0.25):
        centre = scene.rng.uniform(-0.9, 0.9, (1, 2)) * radius
        angle = scene.rng.uniform(0, math.pi, 1)
        draw_houses(scene, centre, np.array([12.0]), np.array([8.5]), angle)
