"""What the camera adds: shining lamps, rain and snow, blur, vignette, noise, colour cast and the dashboard's edge."""

from functools import cache

import numpy as np

from pipeline.sample.arrays import Bytes
from pipeline.sample.camera.canvas import Canvas
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import HEIGHT, WIDTH

TILE = 1600
DASHBOARD_SHARE = 0.3


@cache
def grain_tile() -> Bytes:
    """Return the one noise tile [1600, 1600] uint8 around 128 that all textures and sensor noise are cut from."""
    noise = np.random.default_rng(128).normal(128, 32, (TILE, TILE))
    return np.clip(noise, 0, 255).astype(np.uint8)


@cache
def _halo() -> Bytes:
    """Return a round lamp's glow [129, 129] uint8: a bright heart and a wide faint ring."""
    axis = np.linspace(-1, 1, 129)
    radius = np.hypot(axis[:, None], axis[None, :])
    light = 0.75 * np.exp(-((radius / 0.14) ** 2)) + 0.32 * np.exp(-((radius / 0.42) ** 2))
    return np.asarray(np.clip(light * (radius < 1) * 255, 0, 255), dtype=np.uint8)


def shine(canvas: Canvas, wet: bool) -> None:
    """Add the glow of every lamp that nothing hides, and its streak on a wet street."""
    for lamp in canvas.glows:
        if canvas.owners[int(lamp.v), int(lamp.u)] != lamp.owner:
            continue
        _add_sprite(canvas.picture, lamp.u, lamp.v, lamp.radius * 2.4, lamp.radius * 2.4, lamp.colour)
        if wet and lamp.v > canvas.view.horizon - 60:
            blue, green, red = lamp.colour
            below = lamp.v + lamp.radius * 4
            _add_sprite(canvas.picture, lamp.u, below, lamp.radius, lamp.radius * 5, (blue / 2, green / 2, red / 2))


def _add_sprite(picture: Bytes, u: float, v: float, across: float, down: float, colour: tuple[float, ...]) -> None:
    import cv2

    width, height = max(int(2 * across), 3), max(int(2 * down), 3)
    left, top = int(u - width / 2), int(v - height / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, WIDTH), min(top + height, HEIGHT)
    if x0 >= x1 or y0 >= y1:
        return
    halo = cv2.resize(_halo(), (width, height), interpolation=cv2.INTER_LINEAR)
    halo = halo[y0 - top : y1 - top, x0 - left : x1 - left]
    light = cv2.multiply(cv2.cvtColor(halo, cv2.COLOR_GRAY2BGR), (*colour, 0), scale=1 / 255)
    part = picture[y0:y1, x0:x1]
    cv2.add(part, light, part)


def paint_weather(canvas: Canvas, conditions: Conditions) -> None:
    """Let rain fall as streaks, or snow as flakes."""
    import cv2

    rng, picture = canvas.rng, canvas.picture
    if conditions.weather == "rainy":
        veil = np.zeros_like(picture[..., 0])
        count = int(rng.integers(60, 260))
        start = rng.uniform([0, -40], [WIDTH, HEIGHT], (count, 2))
        fall = np.array([rng.normal(0, 5), 0]) + rng.uniform([-1, 12], [1, 42], (count, 2))
        lines = np.rint(np.stack([start, start + fall], 1)).astype(np.int32)
        cv2.polylines(veil, list(lines), False, (int(rng.integers(22, 60)),), 1, cv2.LINE_AA)
        cv2.add(picture, cv2.cvtColor(veil, cv2.COLOR_GRAY2BGR), picture)
    if conditions.weather == "snowy":
        for u, v, radius in rng.uniform([0, 0, 0.8], [WIDTH, HEIGHT, 3.0], (int(rng.integers(80, 260)), 3)):
            cv2.circle(picture, (int(u), int(v)), int(radius), (215, 213, 212), -1, cv2.LINE_AA)


def dashboard_row(rng: np.random.Generator) -> float:
    """Return the pixel row where the own bonnet or dashboard begins; 720 where none is seen."""
    return float(rng.uniform(640, 700)) if rng.random() < DASHBOARD_SHARE else float(HEIGHT)


def paint_dashboard(canvas: Canvas, row: float) -> None:
    """Paint the dark arc of the own bonnet below `row`, which hides what is there."""
    if row >= HEIGHT:
        return
    u = np.linspace(-10, WIDTH + 10, 40)
    v = row + ((u - canvas.view.centre) / 640) ** 2 * canvas.rng.uniform(20, 60)
    outline = np.stack([np.r_[u, WIDTH + 10, -10], np.r_[v, HEIGHT + 10, HEIGHT + 10]], 1)
    canvas.stand(0.0, 4.0)
    tone = canvas.rng.uniform(18, 60)
    canvas.fill(outline, colour=(tone * 1.05, tone, tone))
    rim = np.stack([np.r_[u, u[::-1]], np.r_[v, v[::-1] + 4]], 1)
    canvas.fill(rim, colour=(tone + 45, tone + 42, tone + 40))


def expose(picture: Bytes, conditions: Conditions, rng: np.random.Generator) -> Bytes:
    """Return the picture as the sensor hands it over: blurred, vignetted, noisy, with a colour cast."""
    import cv2

    kind = rng.choice(["sharp", "defocus", "motion"], p=[0.75, 0.18, 0.07])
    if kind == "defocus":
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.5 if conditions.wet else 1.1))
    elif kind == "motion":
        reach = int(rng.integers(3, 8))
        size = (reach, 1) if rng.random() < 0.6 else (1, reach)
        picture = cv2.blur(picture, size)
    cv2.multiply(picture, _vignette_and_cast(rng), picture, 1 / 200)
    strength = float(rng.uniform(0.12, 0.3) if conditions.night else rng.uniform(0.04, 0.16))
    down, right = rng.integers(0, TILE - HEIGHT), rng.integers(0, (TILE - WIDTH) // 2)
    planes = [grain_tile()[down : down + HEIGHT, right + shift : right + shift + WIDTH] for shift in (0, 53, 131)]
    noise = cv2.merge(planes)
    return np.asarray(cv2.addWeighted(picture, 1.0, noise, strength, -128.0 * strength), dtype=np.uint8)


@cache
def _squared_distance() -> Bytes:
    """Return the squared distance from the middle [36, 64, 1], 255 in the corners."""
    y, x = np.linspace(-1, 1, 36)[:, None], np.linspace(-1, 1, 64)[None, :]
    return np.asarray((x**2 + y**2) / 2 * 255, dtype=np.uint8)[..., None]


def _vignette_and_cast(rng: np.random.Generator) -> Bytes:
    import cv2

    cast = 200 * rng.uniform(0.94, 1.06, 3) * rng.uniform(0.9, 1.12)
    small = cast * (1 - rng.uniform(0.0, 0.32) * (_squared_distance() / 255.0))
    return cv2.resize(np.clip(small, 0, 255).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
