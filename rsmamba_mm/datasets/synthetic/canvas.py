"""The canvas of one scene.

Everything is drawn in metres, in a frame that is rotated, scaled and shifted against the image.
Each primitive writes three layers at once: the surface colour, the land-cover mask and a digital
surface model (DSM). Shadows, relief and texture are not drawn; they follow from the finished DSM
and mask, so that one sun lights the whole picture.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .materials import PAVEMENTS, SANDS, SEASONS, SOILS, TREE, WATER, WATERS, Colour

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
