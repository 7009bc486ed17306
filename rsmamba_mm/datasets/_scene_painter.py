"""Painters of the synthetic scenes: a canvas, shared primitives, one painter per scene class.

Everything is drawn in metres, in a frame that is rotated, scaled and shifted against the image.
Each primitive writes three layers at once: the surface colour, the land-cover mask and a digital
surface model (DSM). Shadows, relief and texture are not drawn; they follow from the finished DSM
and mask, so that one sun lights the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
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

# Relative contrast of the surface texture of each mask class at the wavelengths below (metres).
TEXTURE_WAVELENGTHS = (0.5, 1.4, 5.0, 28.0)
TEXTURE_CONTRAST = np.array(
    [
        (0.04, 0.04, 0.04, 0.06),  # bare_soil
        (0.02, 0.02, 0.02, 0.04),  # sand
        (0.05, 0.05, 0.05, 0.07),  # low_vegetation
        (0.10, 0.10, 0.05, 0.06),  # tree
        (0.02, 0.03, 0.02, 0.02),  # building
        (0.02, 0.03, 0.04, 0.05),  # pavement
        (0.01, 0.03, 0.03, 0.05),  # water
        (0.02, 0.02, 0.00, 0.00),  # vehicle
    ],
    np.float32,
)
RELIEF_CONTRAST = np.array([0.1, 0.1, 0.1, 0.30, 0.05, 0.05, 0.0, 0.12], np.float32)
# How far the broad texture moves the hue between red and green, per mask class.
TINT_CONTRAST = np.array([0.015, 0.01, 0.025, 0.02, 0.0, 0.005, 0.005, 0.0], np.float32)

DSM_UNITS_PER_METRE = 10  # the DSM is uint8: 0.1 m per step, 25.5 m at most
SUBPIXEL_BITS = 4

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


class Scene:
    """Canvas of one scene: layers, viewing geometry, sun and the colours of the day.

    Args:
        height (int): Image height in pixels.
        width (int): Image width in pixels.
        extent (float): Ground length of the shorter image side in metres.
        rng (np.random.Generator): Source of all randomness of the scene.
    """

    def __init__(self, height: int, width: int, extent: float, rng: np.random.Generator):
        self.rng = rng
        self.extent = extent
        self.px_per_m = min(height, width) / extent
        self.shape = (height, width)
        angle = rng.uniform(0, 2 * math.pi)
        cos, sin = math.cos(angle), math.sin(angle)
        self.rotation = np.array([[cos, -sin], [sin, cos]])
        shift = rng.uniform(-0.08, 0.08, 2) * extent
        self.origin = np.array([width, height]) / 2 + shift * self.px_per_m
        # Painters cover this disc about the frame's origin, so that no corner stays empty.
        self.radius = math.hypot(height, width) / 2 / self.px_per_m + np.hypot(*shift) + 1.0

        sun_azimuth = rng.uniform(0, 2 * math.pi)
        self.sun = np.array([math.cos(sun_azimuth), math.sin(sun_azimuth)])  # in the image plane
        self.sun_elevation = math.radians(rng.uniform(28, 62))

        self.season = SEASONS[rng.integers(len(SEASONS))]
        self.grass = self.vary(self.pick(self.season.grass), 0.10)
        self.soil = self.vary(self.pick(SOILS), 0.10)
        self.sand = self.vary(self.pick(SANDS), 0.06)
        self.water = self.vary(self.pick(WATERS), 0.14)
        self.pavement = self.vary(self.pick(PAVEMENTS), 0.10)

        self.mask = np.empty((height, width), np.uint8)
        # Colour and DSM share an array so that one call to OpenCV draws both.
        self.layers = np.zeros((height, width, 4), np.uint8)
        self.image = self.layers[..., :3]
        self.dsm = self.layers[..., 3]

    # Randomness

    def pick(self, options: tuple) -> Colour:
        """Draw one of the options."""
        return options[self.rng.integers(len(options))]

    def pick_colours(self, options: tuple, number: int, spread: float = 0.08) -> np.ndarray:
        """Draw ``number`` colours (number, 3) from the options and vary each."""
        colours = np.array(options)[self.rng.integers(len(options), size=number)]
        return self.vary(colours, spread)

    def vary(self, colours: Colour, spread: float) -> np.ndarray:
        """Vary brightness by ``spread`` and hue by a quarter of it."""
        colours = np.asarray(colours, np.float32)
        brightness = self.rng.normal(0, spread, (*colours.shape[:-1], 1))
        hue = self.rng.normal(0, spread / 4, colours.shape)
        return np.clip(colours * (1 + brightness + hue), 4, 250).astype(np.float32)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.rng.random() < probability

    def noise(self, wavelength: float) -> np.ndarray:
        """Smooth random field (H, W) of unit variance, about ``wavelength`` metres a bump."""
        cells = [int(np.clip(round(side / self.px_per_m / wavelength) + 1, 2, side)) for side in self.shape]
        # A stream of its own: how many numbers are drawn here depends on the image size, and the
        # layout must not.
        field = self.rng.spawn(1)[0].standard_normal(cells, np.float32)
        field = cv2.resize(field, self.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return field * (1.4 if cells[0] < self.shape[0] else 1.0)

    # Geometry

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Map frame points (..., 2) in metres to continuous pixel coordinates (x, y)."""
        return points @ self.rotation.T * self.px_per_m + self.origin

    def frame_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Frame coordinates u, v of all pixel centres, each (H, W) float32 in metres."""
        height, width = self.shape
        x = (np.arange(width, dtype=np.float32) + 0.5 - self.origin[0]) / self.px_per_m
        y = (np.arange(height, dtype=np.float32) + 0.5 - self.origin[1]) / self.px_per_m
        (a, b), (c, d) = self.rotation.astype(np.float32)
        return a * x + c * y[:, None], b * x + d * y[:, None]

    def visible(self, points: np.ndarray, margin: float) -> np.ndarray:
        """Which frame points (N, 2) lie in the image, or within ``margin`` metres of it."""
        pixels = self.to_pixels(points)
        reach = margin * self.px_per_m
        return ((pixels > -reach) & (pixels < np.array(self.shape[::-1]) + reach)).all(-1)

    def lattice(
        self, pitch_u: float, pitch_v: float, jitter: float = 0.0, margin: float = 8.0
    ) -> np.ndarray:
        """Points (N, 2) of a grid over the image, each displaced by up to ``jitter`` pitches."""
        axes = []
        for pitch in (pitch_u, pitch_v):
            steps = np.arange(-math.ceil((self.radius + margin) / pitch) - 1, 1)
            axes.append(np.concatenate([steps, -steps[-2::-1]]) * pitch)
        points = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
        points = points + self.rng.uniform(-jitter, jitter, points.shape) * (pitch_u, pitch_v)
        return points[self.visible(points, margin)]

    def cover_at(self, points: np.ndarray) -> np.ndarray:
        """Mask class under each frame point (N, 2); points outside read the nearest pixel."""
        x, y = np.floor(self.to_pixels(points)).astype(int).T
        height, width = self.shape
        return self.mask[y.clip(0, height - 1), x.clip(0, width - 1)]

    # Drawing

    def fill(self, cover: int, colour: Colour) -> None:
        """Cover the whole image."""
        self.image[:] = np.asarray(colour).astype(np.uint8)
        self.mask[:] = cover

    def polygons(
        self, points: np.ndarray, cover: int, colours: Colour, height: float | np.ndarray = 0.0
    ) -> None:
        """Draw convex polygons.

        Args:
            points (np.ndarray): Corners (N, K, 2) in metres.
            cover (int): Mask class.
            colours (Colour): One colour or one per polygon (N, 3).
            height (float | np.ndarray): Height above ground in metres, one or per polygon.
        """
        points = np.asarray(points, float)
        pixels = self.to_pixels(points)
        limit = np.array(self.shape[::-1])
        shown = ((pixels.max(1) > -1) & (pixels.min(1) < limit + 1)).all(-1)
        fixed = self.to_fixed_point(pixels[shown])
        values = np.empty((len(points), 4))
        values[:, :3] = colours
        values[:, 3] = np.multiply(height, DSM_UNITS_PER_METRE)
        for polygon, value in zip(fixed, values[shown].tolist(), strict=True):
            cv2.fillConvexPoly(self.layers, polygon, value, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.fillConvexPoly(self.mask, polygon, cover, cv2.LINE_8, SUBPIXEL_BITS)

    def region(self, outline: np.ndarray, cover: int, colour: Colour, height: float = 0.0) -> None:
        """Draw one polygon (K, 2) of any shape."""
        fixed = [self.to_fixed_point(self.to_pixels(outline))]
        value = (*np.asarray(colour).tolist(), height * DSM_UNITS_PER_METRE)
        cv2.fillPoly(self.layers, fixed, value, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.fillPoly(self.mask, fixed, cover, cv2.LINE_8, SUBPIXEL_BITS)

    def paint(self, colours: np.ndarray, cover: np.ndarray | int) -> None:
        """Replace the whole image by colours (H, W, 3) and mask classes (H, W)."""
        np.copyto(self.image, np.clip(colours, 0, 255), casting='unsafe')
        self.mask[:] = cover

    def shade_water(self, shallow: Colour, reach: float) -> None:
        """Fade the water from ``shallow`` at the shore to its own colour ``reach`` metres out."""
        # A frame of water keeps the image border from counting as a shore.
        water = cv2.copyMakeBorder(self.mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE) == WATER
        depth = cv2.distanceTransform(water.astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        weight = np.exp(-depth / (reach * self.px_per_m)) * (self.mask == WATER)
        mixed = self.image + weight[..., None] * (np.asarray(shallow, np.float32) - self.image)
        self.paint(mixed, self.mask)

    @staticmethod
    def to_fixed_point(pixels: np.ndarray) -> np.ndarray:
        """Pixel coordinates as OpenCV's drawing functions take them."""
        # OpenCV counts from pixel centres; to_pixels counts from the image corner.
        return np.round((pixels - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)

    # Finishing

    def develop(self) -> np.ndarray:
        """Light the painted scene and expose it.

        Returns:
            np.ndarray: BGR image (H, W, 3), uint8.
        """
        textures = [self.noise(wavelength) for wavelength in TEXTURE_WAVELENGTHS]
        light = np.ones(self.shape, np.float32)
        for texture, contrast in zip(textures, TEXTURE_CONTRAST.T, strict=True):
            light += texture * contrast[self.mask]
        light *= self._relief(textures[1])
        shadow = self._cast_shadow()
        tint = self.noise(18.0) * TINT_CONTRAST[self.mask]

        rng = self.rng.spawn(1)[0]
        gain = rng.uniform(0.84, 1.12) * np.exp(rng.normal(0, 0.025, 3))  # exposure, colour cast
        depth = rng.uniform(0.5, 0.68) * np.array([1.0, 0.96, 0.86])  # blue sky fills shadows
        haze, haze_colour = rng.uniform(0.0, 0.13), np.array([178, 188, 200])
        vignette = 1 - rng.uniform(0.0, 0.12) * self._squared_distance_from_centre()
        grain = rng.standard_normal(self.shape, np.float32) * rng.uniform(1.0, 3.5)

        light *= vignette
        exposed = np.empty((*self.shape, 3), np.float32)
        for band, tint_sign in enumerate((1.0, -0.4, -0.2)):
            lit = self.image[..., band] * (light * (1 + tint_sign * tint))
            lit *= 1 - depth[band] * shadow
            exposed[..., 2 - band] = lit * (gain[band] * (1 - haze)) + haze * haze_colour[band]
        exposed = cv2.GaussianBlur(exposed, (0, 0), rng.uniform(0.35, 0.55))  # optics
        exposed += grain[..., None]
        return np.clip(exposed, 0, 255).astype(np.uint8)

    def _relief(self, bumps: np.ndarray) -> np.ndarray:
        """Brightness of slopes that face the sun or turn away from it; tree crowns are rough."""
        surface = self.dsm.astype(np.float32) / DSM_UNITS_PER_METRE
        surface += bumps * np.float32(0.5) * (self.mask == TREE)
        surface = cv2.GaussianBlur(surface, (0, 0), max(0.6, 0.4 * self.px_per_m))
        sun_x, sun_y = self.sun
        slope = sun_x * cv2.Sobel(surface, cv2.CV_32F, 1, 0, scale=-self.px_per_m / 8)
        slope += sun_y * cv2.Sobel(surface, cv2.CV_32F, 0, 1, scale=-self.px_per_m / 8)
        return np.clip(1 + slope * RELIEF_CONTRAST[self.mask], 0.55, 1.4).astype(np.float32)

    def _cast_shadow(self) -> np.ndarray:
        """Degree of shadow (H, W), 0 to 1, from the DSM along the direction of the sun."""
        surface = self.dsm.astype(np.float32) / DSM_UNITS_PER_METRE
        drop = math.tan(self.sun_elevation) / self.px_per_m  # of a ray, per pixel
        horizon, step = surface, 1
        # After k rounds the horizon covers 2**k pixels towards the sun.
        while step * drop < surface.max() and step < max(self.shape):
            towards_sun = np.float32([[1, 0, -step * self.sun[0]], [0, 1, -step * self.sun[1]]])
            raised = cv2.warpAffine(horizon, towards_sun, self.shape[::-1]) - step * drop
            horizon = np.maximum(horizon, raised)
            step *= 2
        return np.clip((horizon - surface - 0.25) * 1.6, 0, 1)

    def _squared_distance_from_centre(self) -> np.ndarray:
        rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in self.shape)
        return (rows[:, None] + columns) / 2


# Shapes: all return corners in metres.


def boxes(
    centres: np.ndarray, length: float | np.ndarray, width: float | np.ndarray, angle=0.0
) -> np.ndarray:
    """Rectangles (N, 4, 2) about centres (N, 2), their length along ``angle``."""
    centres = np.atleast_2d(centres)
    return place(np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]), **locals())


def place(
    shape: np.ndarray,
    centres: np.ndarray,
    length: float | np.ndarray,
    width: float | np.ndarray,
    angle: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Copies (N, K, 2) of a unit shape (K, 2), scaled, turned and moved to centres (N, 2)."""
    number = len(centres)
    length, width, angle = (np.broadcast_to(value, number) for value in (length, width, angle))
    x = shape[:, 0] * length[:, None]
    y = shape[:, 1] * width[:, None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([x * cos - y * sin, x * sin + y * cos], -1) + centres[:, None]


def ribbon(line: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Outline (2K, 2) of a band along a line (K, 2)."""
    line = np.asarray(line, float)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    offset = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * np.reshape(width, (-1, 1)) / 2
    return np.concatenate([line + offset, (line - offset)[::-1]])


def blob(scene: Scene, centre: np.ndarray, radius: float, roughness: float) -> np.ndarray:
    """Closed smooth outline (96, 2) that wobbles about a circle."""
    turn = np.linspace(0, 2 * math.pi, 96, endpoint=False)
    order = np.arange(2, 8)
    amplitude = scene.rng.normal(0, roughness, len(order)) / (order - 0.5)
    phase = scene.rng.uniform(0, 2 * math.pi, len(order))
    wobble = (amplitude * np.cos(turn[:, None] * order + phase)).sum(1)
    distance = radius * np.exp(wobble)
    return centre + distance[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)


def winding_line(scene: Scene, amplitude: float, wavelength: float, offset: float = 0.0) -> np.ndarray:
    """Meandering line (160, 2) across the whole scene, along u about v = ``offset``."""
    u = np.linspace(-scene.radius - 5, scene.radius + 5, 160)
    phase = scene.rng.uniform(0, 2 * math.pi, 2)
    v = amplitude * np.sin(2 * math.pi * u / wavelength + phase[0])
    v += 0.15 * amplitude * np.sin(4.6 * math.pi * u / wavelength + phase[1])
    return np.stack([u, v + offset], 1)


def straight(scene: Scene, v: float, start: float | None = None) -> np.ndarray:
    """Line (2, 2) along u at offset v, from ``start`` (default: beyond the image) to the end."""
    start = -scene.radius - 5 if start is None else start
    return np.array([(start, v), (scene.radius + 5, v)])


def stations(scene: Scene, pitch: float, jitter: float = 0.0) -> np.ndarray:
    """Places (N,) along a line across the scene, each displaced by up to ``jitter`` pitches."""
    places = np.arange(-scene.radius - pitch, scene.radius + pitch, pitch)
    return places + scene.rng.uniform(-jitter, jitter, len(places)) * pitch


# Objects: vegetation, houses, vehicles, roads. They serve every scene class.


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


# Painters, one per scene class.


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


class SceneType(NamedTuple):
    """How one scene class is painted."""

    painter: Callable[[Scene], None]
    extent: float  # typical ground length of the shorter image side, in metres


SCENE_TYPES = {
    'beach': SceneType(paint_beach, 120),
    'crop_field': SceneType(paint_crop_field, 150),
    'crossroads': SceneType(paint_crossroads, 80),
    'forest': SceneType(paint_forest, 90),
    'harbor': SceneType(paint_harbor, 95),
    'lake': SceneType(paint_lake, 140),
    'orchard': SceneType(paint_orchard, 90),
    'parking_lot': SceneType(paint_parking_lot, 62),
    'residential': SceneType(paint_residential, 105),
    'river': SceneType(paint_river, 140),
    'runway': SceneType(paint_runway, 150),
    'storage_tanks': SceneType(paint_storage_tanks, 110),
}
SCALE_RANGE = (0.6, 1.6)


def paint_scene(
    name: str, height: int, width: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one scene.

    Args:
        name (str): Key of ``SCENE_TYPES``.
        height (int): Image height in pixels.
        width (int): Image width in pixels.
        rng (np.random.Generator): Source of all randomness.

    Returns:
        tuple[np.ndarray, np.ndarray]: BGR image (H, W, 3) and mask (H, W), both uint8.
    """
    scene_type = SCENE_TYPES[name]
    scale = math.exp(rng.uniform(*np.log(SCALE_RANGE)))
    scene = Scene(height, width, scene_type.extent * scale, rng)
    scene_type.painter(scene)
    return scene.develop(), scene.mask
