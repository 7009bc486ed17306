"""Painters of fields, woods and waters, one per scene class."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .canvas import SUBPIXEL_BITS, Scene
from .materials import CONCRETE, FOAM, GRASS, PAVEMENT, SAND, SOIL, TREE, WATER
from .objects import draw_houses, draw_road, draw_trees, lay_ground, scatter_trees, sprinkle
from .shapes import blob, ribbon, stations, straight, winding_line


def paint_beach(scene: Scene) -> None:
    rng = scene.rng
    u, v = scene.frame_grid()
    bend = rng.uniform(0, 2 * math.pi, 3)
    shore = sum(
        size * np.sin(2 * math.pi * v / (length * scene.extent) + phase)
        for size, length, phase in zip((7, 3.0, 1.2), (1.9, 0.8, 0.33), bend, strict=True)
    )
    seaward = (u - shore - scene.extent * rng.uniform(-0.12, 0.12)).astype(np.float32)
    sand_width = scene.extent * rng.uniform(0.16, 0.34)
    dune = seaward + sand_width + 2.5 * scene.noise(7.0) < 0

    # Colour across the shore: dry sand, wet sand, shallow water, deep water.
    cross_shore = np.linspace(-sand_width, scene.extent, 512)[:, None]
    reach = scene.extent * rng.uniform(0.25, 0.6)
    shallow = 0.5 * scene.water + 0.5 * scene.sand
    depth = np.clip(cross_shore / reach, 0, 1) ** 0.7
    sea = shallow + depth * (scene.water - shallow)
    sand = scene.sand * (1 - 0.3 * np.exp(np.minimum(cross_shore, 0) / 4))
    profile = np.where(cross_shore > 0, sea, sand).astype(np.float32)
    position = (seaward + sand_width) * (len(profile) / (scene.extent + sand_width))
    colours = profile[position.astype(int).clip(0, len(profile) - 1)]
    colours[dune] = scene.grass

    foam = np.zeros(scene.shape, np.float32)
    swash = 0.9 * scene.noise(4.0)
    start = 0.8
    for _ in range(rng.integers(3, 6)):
        crest = (seaward - start + swash + 1.6 * scene.noise(20.0)) / rng.uniform(0.9, 2.0)
        breaking = np.clip(scene.noise(14.0) + 1.1, 0, 1)
        foam = np.maximum(foam, breaking * np.exp(-crest * crest))
        start += rng.uniform(0.05, 0.12) * scene.extent
    foam *= seaward > 0
    colours += foam[..., None] * (np.float32(FOAM) - colours)
    scene.paint(colours, np.where(seaward > 0, WATER, np.where(dune, GRASS, SAND)))
    if scene.chance(0.4):
        draw_promenade(scene, sand_width)
    scatter_trees(scene, 9, rng.uniform(0.1, 0.5))


def draw_promenade(scene: Scene, sand_width: float) -> None:
    """Road behind the dunes with houses along it."""
    inland = -sand_width - 0.18 * scene.extent
    line = straight(scene, 0)[:, ::-1] + (inland, 0)
    draw_road(scene, line, 7, scene.pavement)
    v = stations(scene, 19, 0.1)
    spots = np.stack([np.full_like(v, inland - 16), v], 1)
    size = scene.rng.uniform(10, 14, (2, len(spots)))
    draw_houses(scene, spots, *size)


def paint_crop_field(scene: Scene) -> None:
    rng = scene.rng
    edges = []
    for shortest, longest in ((45, 100), (70, 190)):
        steps = rng.uniform(shortest, longest, int(2 * scene.radius / shortest) + 3)
        edges.append(np.cumsum(steps) - scene.radius - rng.uniform(0.1, 1.0) * steps[0])
        edges[-1] = np.concatenate([[-scene.radius - 200], edges[-1]])
    left, low = np.meshgrid(edges[0][:-1], edges[1][:-1])
    right, high = np.meshgrid(edges[0][1:], edges[1][1:])
    corners = np.stack(
        [np.stack(pair, -1) for pair in ((left, low), (right, low), (right, high), (left, high))],
        -2,
    ).reshape(-1, 4, 2)
    corners = corners[: np.iinfo(np.uint8).max]
    number = len(corners)
    parcel = np.zeros(scene.shape, np.uint8)
    for index, corner in enumerate(scene.to_fixed_point(scene.to_pixels(corners))):
        cv2.fillConvexPoly(parcel, corner, index, cv2.LINE_8, SUBPIXEL_BITS)

    ploughed = rng.random(number) < 0.3
    crop = scene.pick_colours(scene.season.crop, number, 0.12)
    soil = scene.vary(np.tile(scene.soil, (number, 1)), 0.08)
    ridge = np.where(ploughed[:, None], soil, crop).astype(np.float32)
    furrow = np.where(rng.random((number, 1)) < 0.5, 0.72 * ridge, 0.9 * soil).astype(np.float32)
    furrow = np.where(ploughed[:, None], 0.7 * ridge, furrow).astype(np.float32)
    angle = rng.normal(0, 0.03, number) + math.pi / 2 * (rng.random(number) < 0.35)
    pitch = scene.extent / rng.uniform(20, 42, number)
    contrast = rng.uniform(0.55, 1.0, number).astype(np.float32)

    u, v = scene.frame_grid()
    wave_u = (2 * math.pi * np.cos(angle) / pitch).astype(np.float32)[parcel]
    wave_v = (2 * math.pi * np.sin(angle) / pitch).astype(np.float32)[parcel]
    rows = np.sin(wave_u * u + wave_v * v + 0.5 * scene.noise(16.0))
    weight = (0.5 + 0.5 * rows) * contrast[parcel] * np.clip(0.9 + 0.25 * scene.noise(20.0), 0, 1)
    colours = ridge[parcel] + weight[..., None] * (furrow - ridge)[parcel]
    scene.paint(colours, np.where(ploughed, SOIL, GRASS)[parcel])

    track = scene.vary(scene.soil, 0.08) * 1.1
    for axis in (0, 1):
        for edge in edges[axis][1:]:
            line = straight(scene, edge)
            line = line[:, ::-1] if axis == 0 else line
            scene.region(ribbon(line, rng.uniform(1.5, 4.5)), SOIL, np.clip(track, 0, 235))
            if scene.chance(0.2):
                along = np.arange(-scene.radius, scene.radius, 7.0)
                along = along[rng.random(len(along)) < 0.7] + rng.normal(0, 1)
                hedge = np.stack([np.full_like(along, edge + 4), along], 1)
                hedge = hedge if axis == 0 else hedge[:, ::-1]
                draw_trees(scene, hedge, rng.uniform(2, 3.6, len(hedge)))


def paint_forest(scene: Scene) -> None:
    rng = scene.rng
    undergrowth = 0.6 * np.asarray(scene.pick(scene.season.tree))
    scene.fill(TREE, undergrowth)
    scene.dsm[:] = 30
    pitch = scene.extent / rng.uniform(13, 19)
    spots = scene.lattice(pitch, pitch, 0.48, margin=pitch)
    if scene.chance(0.3):
        clearing = blob(scene, rng.uniform(-0.4, 0.4, 2) * scene.extent, 1.8 * pitch, 0.25)
        scene.region(clearing, GRASS, scene.grass)
    if scene.chance(0.25):
        trail = winding_line(scene, 8, 100, offset=rng.uniform(-0.3, 0.3) * scene.extent)
        scene.region(ribbon(trail, 0.7 * pitch), SOIL, scene.soil)
    spots = spots[scene.cover_at(spots) == TREE]
    spots = rng.permutation(spots)
    draw_trees(scene, spots, pitch * rng.uniform(0.45, 0.8, len(spots)))


def paint_lake(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene, bare_chance=0.35)
    sprinkle(scene)
    radius = scene.extent * rng.uniform(0.24, 0.36)
    outline = blob(scene, rng.uniform(-0.06, 0.06, 2) * scene.extent, radius, 0.14)
    centre = outline.mean(0)
    rim = scene.vary(scene.pick((scene.sand, scene.soil, scene.grass)), 0.08)
    cover = SAND if scene.chance(0.4) else SOIL
    scene.region(centre + (outline - centre) * rng.uniform(1.03, 1.12), cover, rim)
    scene.region(outline, WATER, scene.water)
    if scene.chance(0.25):
        island = centre + rng.uniform(-0.3, 0.3, 2) * radius
        scene.region(blob(scene, island, 0.13 * radius, 0.2), GRASS, scene.grass)
    scene.shade_water(0.55 * scene.water + 0.45 * rim, reach=4)
    scatter_trees(scene, 8, rng.uniform(0.15, 0.75), on=(GRASS, SOIL))


def paint_orchard(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene, bare_chance=0.5)
    pitch_u = scene.extent / rng.uniform(11, 17)
    pitch_v = pitch_u * rng.uniform(1.0, 1.35)
    _, v = scene.frame_grid()
    # Between the rows the ground is worked: a band of another colour.
    worked = 0.5 + 0.5 * np.cos(2 * math.pi * v / pitch_v)
    strip = scene.vary(scene.pick((scene.soil, scene.grass)), 0.08)
    scene.paint(scene.image + 0.5 * worked[..., None] * (strip - scene.image), scene.mask)
    spots = scene.lattice(pitch_u, pitch_v, 0.05, margin=pitch_u)
    kept = rng.random(len(spots)) > 0.06
    if scene.chance(0.5):
        aisle = pitch_v * rng.integers(-4, 5)
        track = ribbon(straight(scene, aisle), 0.6 * pitch_v)
        scene.region(track, SOIL, scene.vary(scene.soil, 0.06))
        kept &= np.abs(spots[:, 1] - aisle) > 0.5 * pitch_v
    radius = pitch_u * rng.uniform(0.3, 0.43)
    spots = spots[kept]
    draw_trees(scene, spots, radius * rng.uniform(0.85, 1.12, len(spots)))


def paint_river(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene, bare_chance=0.35)
    sprinkle(scene)
    course = winding_line(
        scene, scene.extent * rng.uniform(0.1, 0.19), scene.extent * rng.uniform(1.0, 1.5)
    )
    width = scene.extent * rng.uniform(0.13, 0.22)
    widths = width * (1 + 0.15 * np.sin(course[:, 0] / (0.16 * scene.extent) + rng.uniform(0, 6)))
    bank = scene.vary(scene.pick((scene.sand, scene.soil)), 0.06)
    # Gravel bars lie inside the bends, where the line curves towards them.
    bend = np.gradient(np.gradient(course, axis=0), axis=0)[:, 1]
    bar = course + np.stack([0 * bend, 0.35 * width * bend / (np.abs(bend).max() + 1e-9)], 1)
    scene.region(ribbon(bar, widths * 1.12), SAND, bank)
    scene.region(ribbon(course, widths), WATER, scene.water)
    scene.shade_water(0.6 * scene.water + 0.4 * bank, reach=3)
    spots = scene.lattice(6.5, 6.5, 0.5)
    gap = np.abs(spots[:, 1] - np.interp(spots[:, 0], course[:, 0], course[:, 1])) - 0.62 * width
    likely = rng.uniform(0.3, 0.9) * np.exp(-np.clip(gap, 0, None) / (0.12 * scene.extent))
    kept = (gap > 1.5) & (rng.random(len(spots)) < likely)
    draw_trees(scene, spots[kept], rng.uniform(1.8, 4.0, kept.sum()))
    if scene.chance(0.2):
        u = rng.uniform(-0.3, 0.3) * scene.extent
        line = straight(scene, 0)[:, ::-1] + (u, 0)
        scene.region(ribbon(line, 8.5), PAVEMENT, CONCRETE, height=3)
        scene.region(ribbon(line, 7), PAVEMENT, scene.pavement, height=3)
