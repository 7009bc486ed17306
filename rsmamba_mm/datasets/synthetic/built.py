"""Painters of towns, ports and plants, one per scene class."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Scene
from .materials import (
    BUILDING,
    CONCRETE,
    GRASS,
    HULLS,
    PAVEMENT,
    PAVEMENTS,
    ROAD_PAINT,
    ROOFS,
    SOIL,
    VEHICLE,
    WATER,
    YELLOW_PAINT,
)
from .objects import (
    draw_cars,
    draw_dashes,
    draw_flat_building,
    draw_houses,
    draw_road,
    draw_trees,
    lay_ground,
    scatter_trees,
)
from .shapes import boxes, place, ribbon, stations, straight


def paint_crossroads(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene)
    widths = rng.uniform(10, 16, 2)
    skew = rng.normal(0, 0.12)
    asphalt = scene.pavement
    built = rng.uniform(0.2, 1.0)
    reach = widths.max() / 2 + 5
    for corner in np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]):
        if scene.chance(built):
            draw_corner_lot(scene, corner, reach)
    turn = np.array([[math.cos(skew), math.sin(skew)], [-math.sin(skew), math.cos(skew)]])
    first = straight(scene, 0)
    second = straight(scene, 0)[:, ::-1] @ turn
    for line, width in ((first, widths[0]), (second, widths[1])):
        draw_road(scene, line, width, asphalt, shoulder=2.2)
    for line, width in ((first, widths[0]), (second, widths[1])):
        draw_road(scene, line, width, asphalt)
    # Rounded kerbs: an octagon joins the four arms.
    spread = np.linspace(0, 2 * math.pi, 9)[:-1] + math.pi / 8
    octagon = np.stack([np.cos(spread) * widths[1], np.sin(spread) * widths[0]], 1) * 0.78
    scene.region(octagon, PAVEMENT, asphalt)

    zebra = scene.chance(0.7)
    for line, width, other in ((first, widths[0], widths[1]), (second, widths[1], widths[0])):
        axis = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
        angle = math.atan2(axis[1], axis[0])
        across = np.array([-axis[1], axis[0]])
        stop = other * 0.5 + 3
        for side in (-1, 1):
            along = np.arange(stop + 9, scene.radius + 4, 6.5)[:, None] * axis * side
            scene.polygons(boxes(along, 3.4, 0.3, angle), PAVEMENT, ROAD_PAINT)
            halt = (stop + 4.2) * axis * side - side * across * width / 4
            scene.polygons(boxes(halt, 0.5, width / 2 - 0.8, angle), PAVEMENT, ROAD_PAINT)
            if zebra:
                bars = np.arange(-width / 2 + 0.9, width / 2 - 0.5, 1.9)[:, None] * across
                bars = bars + stop * axis * side
                scene.polygons(boxes(bars, 3.2, 0.85, angle), PAVEMENT, ROAD_PAINT)
            spots = np.arange(stop + 9, scene.radius, 8.0)
            spots = spots[rng.random(len(spots)) < 0.35]
            lane = rng.choice([-0.25, 0.25], len(spots))
            cars = spots[:, None] * axis * side + lane[:, None] * width * across
            draw_cars(scene, cars, angle)
    scatter_trees(scene, 8, rng.uniform(0.05, 0.4))


def draw_corner_lot(scene: Scene, corner: np.ndarray, reach: float) -> None:
    """Building on a forecourt at one corner of a junction."""
    rng = scene.rng
    size = rng.uniform(16, 30, 2)
    margin = rng.uniform(3, 9)
    centre = corner * (reach + margin + size / 2)
    lot = scene.vary(scene.pick(PAVEMENTS), 0.08)
    scene.polygons(boxes(centre, *(size + 2 * margin)), PAVEMENT, lot)
    if scene.chance(0.6):
        draw_flat_building(scene, centre, *size)
    else:
        draw_houses(scene, centre[None], size[:1], size[1:] * 0.7)


def paint_harbor(scene: Scene) -> None:
    rng = scene.rng
    scene.fill(WATER, scene.water)
    radius = scene.radius + 5
    quay = -scene.extent * rng.uniform(0.18, 0.34)
    land = np.array([(-2 * radius, -radius), (quay, -radius), (quay, radius), (-2 * radius, radius)])
    scene.region(land, PAVEMENT, scene.pavement, height=1.5)
    scene.region(land - (3, 0), PAVEMENT, scene.vary(scene.pavement, 0.06), height=1.5)
    timber = scene.vary(scene.pick(((150, 138, 120), (172, 166, 154), (124, 110, 94))), 0.08)
    boat_length = max(rng.uniform(8.5, 13), scene.extent / 10)
    pitch = 2 * boat_length + rng.uniform(9, 14)
    berth = boat_length * rng.uniform(0.42, 0.52)
    phase = rng.uniform(0, 1)
    for v in (np.arange(-math.ceil(radius / pitch), math.ceil(radius / pitch) + 1) + phase) * pitch:
        length = scene.extent * rng.uniform(0.55, 0.95)
        scene.polygons(boxes((quay + length / 2, v), length, 2.6), PAVEMENT, timber, 1.2)
        along = np.arange(quay + 7, quay + length - 2, berth)
        for side in (-1, 1):
            fingers = np.stack([along[::2] - berth / 2, np.full(len(along[::2]), v)], 1)
            fingers[:, 1] += side * (1.2 + 0.4 * boat_length)
            scene.polygons(boxes(fingers, 0.8, 0.8 * boat_length), PAVEMENT, timber, 1.0)
            taken = along[rng.random(len(along)) < 0.82]
            moored = np.stack([taken, np.full(len(taken), v + side * (2.2 + boat_length / 2))], 1)
            draw_boats(scene, moored, boat_length, berth, side * math.pi / 2)
    for v in stations(scene, 30, 0.15):
        if scene.chance(0.55):
            draw_flat_building(scene, (quay - 24, v), 14, rng.uniform(12, 22))
    v = stations(scene, 3.2, 0.08)
    v = v[rng.random(len(v)) < 0.5]
    draw_cars(scene, np.stack([np.full_like(v, quay - 8), v], 1))


BOAT_HULL = np.array(
    [(-0.5, -0.36), (-0.1, -0.5), (0.2, -0.42), (0.5, 0.0), (0.2, 0.42), (-0.1, 0.5), (-0.5, 0.36)]
)


def draw_boats(scene: Scene, centres: np.ndarray, length: float, berth: float, angle: float) -> None:
    """Moored boats with a deck, a cabin and on some a mast."""
    number = len(centres)
    if not number:
        return
    size = length * scene.rng.uniform(0.72, 1.0, number)
    beam = np.minimum(0.36 * size, 0.78 * berth)
    heading = angle + math.pi * (scene.rng.random(number) < 0.25)
    hull = scene.pick_colours(HULLS, number, 0.04)
    deck = scene.pick_colours(((206, 190, 160), (228, 226, 220), (168, 150, 124)), number, 0.05)
    nose = np.stack([np.cos(heading), np.sin(heading)], 1)
    scene.polygons(place(BOAT_HULL, centres, size, beam, heading), VEHICLE, hull, 1.3)
    scene.polygons(place(BOAT_HULL, centres, 0.8 * size, 0.66 * beam, heading), VEHICLE, deck, 1.2)
    cabin = centres + nose * (0.04 * size)[:, None]
    roof = scene.pick_colours(((232, 232, 230), (44, 62, 92), (92, 98, 106)), number, 0.05)
    scene.polygons(boxes(cabin, 0.32 * size, 0.5 * beam, heading), VEHICLE, roof, 2.2)


def paint_parking_lot(scene: Scene) -> None:
    rng = scene.rng
    scene.fill(PAVEMENT, scene.pavement)
    stall, depth = 2.75, 5.2
    row_pitch = 2 * depth + rng.uniform(6.5, 8.5)
    occupancy = rng.uniform(0.55, 0.95)
    slots = scene.lattice(stall, row_pitch, 0.0, margin=6)
    paint = 0.7 * np.array(ROAD_PAINT) + 0.3 * scene.pavement
    for side in (-1, 1):
        line = slots + np.array([stall / 2, side * depth / 2])
        scene.polygons(boxes(line, 0.16, depth), PAVEMENT, paint)
        taken = slots[rng.random(len(slots)) < occupancy]
        taken = rng.normal(taken, 0.12)
        taken[:, 1] += side * depth / 2
        draw_cars(scene, taken, math.pi / 2 + rng.normal(0, 0.02, len(taken)))
    rows = np.unique(slots[:, 1])
    if scene.chance(0.6):
        for row in rows:
            draw_planted_island(scene, row)
    if scene.chance(0.4):
        edge = rng.choice([-1, 1]) * scene.extent * 0.38
        verge = straight(scene, 0)[:, ::-1] + (edge + math.copysign(40, edge), 0)
        scene.region(ribbon(verge, 80), GRASS, scene.grass)
        if scene.chance(0.5):
            centre = (edge + math.copysign(18, edge), rng.uniform(-20, 20))
            draw_flat_building(scene, centre, 26, rng.uniform(40, 70))
        scatter_trees(scene, 8, 0.5)


def draw_planted_island(scene: Scene, v: float) -> None:
    """Kerbed strips with trees that break a row of parked cars."""
    u = np.arange(-scene.radius, scene.radius, 33.0) + scene.rng.uniform(0, 6)
    centres = np.stack([u, np.full_like(u, v)], 1)
    scene.polygons(boxes(centres, 3.4, 10.4), PAVEMENT, CONCRETE, 0.1)
    scene.polygons(boxes(centres, 2.6, 9.6), GRASS, scene.grass, 0.1)
    draw_trees(scene, centres, scene.rng.uniform(1.5, 2.6, len(centres)))


def paint_residential(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene, bare_chance=0.25)
    scatter_trees(scene, 7, rng.uniform(0.1, 0.35), on=(GRASS, SOIL))
    street_pitch, lot = rng.uniform(56, 68), rng.uniform(15, 19)
    last = math.ceil(scene.radius / street_pitch) + 1
    streets = (np.arange(-last, last + 1) + rng.uniform(-0.5, 0.5)) * street_pitch

    # A row of lots at each side of each street; `side` points from the street to the garden.
    columns = np.arange(-scene.radius - lot, scene.radius + lot, lot)
    street, side, column = (axis.ravel() for axis in np.meshgrid(streets, (-1, 1), columns, indexing='ij'))
    u = column + rng.uniform(0, lot) + side * lot / 5
    lots = np.stack([u, street + side * 15.5], 1)
    shown = scene.visible(lots, margin=14)
    lots, side = lots[shown], side[shown]
    number = len(lots)

    def behind_street(right: float | np.ndarray, back: float | np.ndarray) -> np.ndarray:
        """Place on each lot, in metres right of and behind the house."""
        return lots + np.stack([np.broadcast_to(right, number), side * back], 1)

    yards = scene.vary(np.tile(scene.grass, (number, 1)), 0.1)
    scene.polygons(boxes(lots, lot - 0.6, 24), GRASS, yards)
    drives = behind_street(0.32 * lot, -8.5)
    scene.polygons(boxes(drives, 3.2, 9), PAVEMENT, scene.vary(CONCRETE, 0.08))
    roofs = scene.pick_colours(tuple(scene.pick_colours(ROOFS, 3, 0.05)), number)
    length, width = rng.uniform(10.5, 14, number), rng.uniform(8, 11, number)
    draw_houses(scene, lots, length, width, rng.normal(0, 0.03, number), roofs)
    winged = rng.random(number) < 0.4
    wings = behind_street(0.25 * length, -3.5)[winged]
    draw_houses(scene, wings, width[winged], np.full(len(wings), 6.5), math.pi / 2, roofs[winged])
    draw_pools(scene, behind_street(0.0, 9.5)[rng.random(number) < 0.1])
    draw_cars(scene, drives[rng.random(number) < 0.35], math.pi / 2)
    trees = behind_street(rng.uniform(-0.5, 0.5, number) * lot, rng.uniform(6, 13, number))
    draw_trees(scene, trees, rng.uniform(1.6, 3.6, number))
    for street in streets:
        draw_road(scene, straight(scene, street), 7, scene.pavement, shoulder=1.2)
    kerb = scene.lattice(9.0, street_pitch)
    kerb[:, 1] += streets[0] % street_pitch + rng.choice([-2.3, 2.3], len(kerb))
    draw_cars(scene, kerb[rng.random(len(kerb)) < 0.3])


def draw_pools(scene: Scene, centres: np.ndarray) -> None:
    """Garden swimming pools with a paved rim."""
    scene.polygons(boxes(centres, 8, 5.4), PAVEMENT, CONCRETE)
    scene.polygons(boxes(centres, 6.2, 3.6), WATER, (96, 168, 186))


def paint_runway(scene: Scene) -> None:
    rng = scene.rng
    lay_ground(scene)
    width = scene.extent * rng.uniform(0.2, 0.28)
    surface = scene.pavement
    start = None
    if scene.chance(0.45):
        start = -scene.extent * rng.uniform(0.2, 0.42)
    mark = width / 30
    taxi = math.copysign(width * rng.uniform(1.2, 1.6), rng.uniform(-1, 1))
    taxi_colour = scene.vary(surface, 0.08)
    link = rng.uniform(-0.3, 0.4) * scene.extent
    if scene.chance(0.75):
        links = np.array([(link, 0), (link + 0.3 * taxi, taxi)])
        for line in (straight(scene, taxi), links):
            draw_road(scene, line, 0.34 * width, taxi_colour, shoulder=1.5)
        for line in (straight(scene, taxi), links):
            scene.region(ribbon(line, 0.34 * width), PAVEMENT, taxi_colour)
        for line in (straight(scene, taxi), links):
            scene.region(ribbon(line, 0.7 * mark), PAVEMENT, YELLOW_PAINT)
    draw_road(scene, straight(scene, 0, start), width, surface, shoulder=0.1 * width)

    # Slabs and tyre rubber, darkest where aircraft touch down.
    first = -scene.radius if start is None else start
    for _ in range(26):
        v = rng.normal(0, 0.12 * width)
        centre = (first + rng.uniform(0.25, 1.3) * scene.extent, v)
        streak = boxes(centre, scene.extent * rng.uniform(0.2, 0.5), rng.uniform(0.4, 1.2) * mark)
        scene.polygons(streak, PAVEMENT, scene.vary(0.9 * surface, 0.02))

    for side in (-1, 1):
        edge = straight(scene, side * 0.46 * width, start)
        scene.region(ribbon(edge, 0.9 * mark), PAVEMENT, ROAD_PAINT)
    dash = 0.5 * width
    lead = 0.0
    if start is not None:
        keys = np.concatenate([np.arange(2, 13, 1.8), -np.arange(2, 13, 1.8)]) * mark
        centres = np.stack([np.full(len(keys), start + 0.55 * width), keys], 1)
        scene.polygons(boxes(centres, 0.8 * width, 1.0 * mark), PAVEMENT, ROAD_PAINT)
        aim = np.array([(start + 2.2 * width, side * 5.5 * mark) for side in (-1, 1)])
        scene.polygons(boxes(aim, 0.6 * width, 3 * mark), PAVEMENT, ROAD_PAINT)
        lead = 1.2 * width
    draw_dashes(scene, first + lead, scene.radius, 0.0, dash, 0.7 * dash, 1.3 * mark)
    if scene.chance(0.35):
        draw_aircraft(scene, (rng.uniform(-0.2, 0.35) * scene.extent, taxi), 0.8 * width)
    scatter_trees(scene, 14, rng.uniform(0.0, 0.12))


AIRCRAFT_PARTS = (
    np.array([(0.06, -0.04), (-0.16, -0.5), (-0.09, -0.5), (0.2, -0.04)]),
    np.array([(0.06, 0.04), (-0.16, 0.5), (-0.09, 0.5), (0.2, 0.04)]),
    np.array([(-0.48, 0.0), (-0.53, -0.18), (-0.47, -0.18), (-0.36, 0.0)]),
    np.array([(-0.48, 0.0), (-0.53, 0.18), (-0.47, 0.18), (-0.36, 0.0)]),
    np.array([(-0.52, 0.0), (-0.4, -0.05), (0.4, -0.055), (0.48, -0.03),
              (0.5, 0.0), (0.48, 0.03), (0.4, 0.055), (-0.4, 0.05)]),
)  # fmt: skip


def draw_aircraft(scene: Scene, centre: tuple[float, float], span: float) -> None:
    """Airliner seen from above, along u."""
    colour = scene.vary((226, 226, 224), 0.05)
    heading = math.pi if scene.chance(0.5) else 0.0
    for part in AIRCRAFT_PARTS:
        scene.polygons(place(part, np.atleast_2d(centre), span, span, heading), VEHICLE, colour, 4.0)


def paint_storage_tanks(scene: Scene) -> None:
    rng = scene.rng
    if scene.chance(0.5):
        lay_ground(scene, bare_chance=0.6)
    else:
        scene.fill(PAVEMENT, scene.pavement)
    radius = scene.extent / rng.uniform(7.0, 13.0)
    pitch = radius * rng.uniform(2.5, 3.1)
    wall = scene.vary(scene.pick((CONCRETE, scene.soil)), 0.08)
    spots = scene.lattice(pitch, pitch, 0.03, margin=radius + 12)
    spots = spots + rng.uniform(-0.5, 0.5, 2) * pitch
    if scene.chance(0.6):
        bund = PAVEMENT if scene.chance(0.5) else SOIL
        floor = scene.vary(wall, 0.08)
        scene.polygons(boxes(spots, 0.97 * pitch, 0.97 * pitch), bund, wall, 0.8)
        scene.polygons(boxes(spots, 0.97 * pitch - 2, 0.97 * pitch - 2), bund, floor)
    rows = np.unique(np.round(spots[:, 1] / pitch)) * pitch
    for row in rows:
        for offset in (-1.2, 0, 1.2):
            pipe = straight(scene, row + pitch / 2 + offset)
            scene.region(ribbon(pipe, 0.6), PAVEMENT, CONCRETE, height=1)
    near = np.hypot(*spots.T) < 0.35 * scene.extent
    kept = near | (rng.random(len(spots)) < 0.75)
    spots = spots[kept]
    sizes = radius * rng.choice([1.0, 0.85, 0.7], len(spots), p=[0.7, 0.2, 0.1])
    roofs = scene.pick_colours(
        ((228, 228, 224), (206, 204, 196), (178, 176, 170), (150, 122, 98)), len(spots), 0.05
    )
    draw_tanks(scene, spots, sizes, roofs)
    scatter_trees(scene, 12, rng.uniform(0, 0.2))


def draw_tanks(scene: Scene, centres: np.ndarray, radius: np.ndarray, roofs: np.ndarray) -> None:
    """Cylindrical tanks with a fixed cone roof or a sunken floating roof."""
    turn = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    disc = np.stack([np.cos(turn), np.sin(turn)], 1)
    floating = scene.rng.random(len(centres)) < 0.4
    height = np.clip(0.75 * radius, 5, 16)
    sun = scene.sun @ scene.rotation

    def ring(share: float, shift: float = 0.0) -> np.ndarray:
        size = share * radius
        return place(disc, centres + shift * radius[:, None] * sun, size, size)

    scene.polygons(ring(1.0), BUILDING, 0.82 * roofs, height)
    scene.polygons(ring(0.93), BUILDING, roofs, height)
    scene.polygons(ring(0.88)[floating], BUILDING, 0.8 * roofs[floating], height[floating] - 2.5)
    cone = ~floating
    scene.polygons(ring(0.5, 0.25)[cone], BUILDING, np.clip(1.05 * roofs[cone], 0, 246), height[cone])
    scene.polygons(ring(0.1)[cone], BUILDING, 0.7 * roofs[cone], height[cone])
    stair = scene.rng.integers(len(disc))
    landing = centres + 0.75 * radius[:, None] * disc[stair]
    stairs = boxes(landing, 0.4 * radius, 0.5, turn[stair])[cone]
    scene.polygons(stairs, BUILDING, 0.75 * roofs[cone], height[cone])
