"""Outlines, lines and places of a scene: corners in metres."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Scene


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
