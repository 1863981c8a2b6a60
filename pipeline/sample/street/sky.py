"""The sky and the far hills and skyline below it; nothing that stands at the road."""

import numpy as np

from pipeline.sample.arrays import Bytes, Colour
from pipeline.sample.camera.canvas import Canvas
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import WIDTH

DAY: dict[str, tuple[Colour, Colour]] = {
    "clear": ((205, 135, 75), (235, 215, 190)),
    "partly cloudy": ((200, 145, 95), (235, 222, 205)),
    "overcast": ((175, 170, 165), (215, 212, 208)),
    "rainy": ((150, 145, 140), (195, 192, 188)),
    "snowy": ((195, 192, 190), (222, 220, 218)),
    "foggy": ((205, 203, 200), (214, 210, 206)),
}
DUSK: tuple[Colour, Colour] = ((150, 95, 75), (120, 165, 235))
NIGHT: tuple[Colour, Colour] = ((22, 14, 12), (48, 38, 34))
CLOUDINESS = {"clear": 0.15, "partly cloudy": 0.6, "overcast": 0.9, "rainy": 0.9, "snowy": 0.7, "foggy": 0.2}


def paint_sky(canvas: Canvas, conditions: Conditions, grain: Bytes) -> None:
    """Paint gradient, clouds, sun or stars down to just below the horizon."""
    import cv2

    bottom = int(canvas.view.horizon) + 2
    top_colour, low_colour = _colours(conditions, canvas.rng)
    ramp = np.linspace(0, 1, bottom)[:, None] ** 1.3
    rows = np.array(top_colour) * (1 - ramp) + np.array(low_colour) * ramp
    canvas.picture[:bottom] = cv2.resize(rows[:, None, :].astype(np.uint8), (WIDTH, bottom))
    if conditions.night:
        _paint_stars(canvas, conditions, bottom)
    else:
        _paint_sun(canvas, conditions, bottom)
        _paint_clouds(canvas, conditions, bottom, grain)
    _paint_far_skyline(canvas, conditions)


def _colours(conditions: Conditions, rng: np.random.Generator) -> tuple[Colour, Colour]:
    if conditions.night:
        return NIGHT
    if conditions.timeofday == "dawn/dusk" and conditions.weather in ("clear", "partly cloudy", "overcast"):
        share = rng.uniform(0.5, 1.0)
        return DUSK[0], (150 - 30 * share, 165.0, 200 + 35 * share)
    top, low = DAY[conditions.weather]
    level = rng.uniform(0.88, 1.06) * (0.62 if conditions.timeofday == "dawn/dusk" else 1.0)
    return (top[0] * level, top[1] * level, top[2] * level), (low[0] * level, low[1] * level, low[2] * level)


def _paint_stars(canvas: Canvas, conditions: Conditions, bottom: int) -> None:
    if conditions.weather != "clear":
        return
    count = int(canvas.rng.integers(10, 60))
    u, v = canvas.rng.integers(0, WIDTH, count), canvas.rng.integers(0, max(bottom - 60, 1), count)
    canvas.picture[v, u] = canvas.rng.integers(70, 170, (count, 1))


def _paint_sun(canvas: Canvas, conditions: Conditions, bottom: int) -> None:
    low = conditions.timeofday == "dawn/dusk"
    if conditions.weather not in ("clear", "partly cloudy") or canvas.rng.random() < 0.45:
        return
    u = canvas.view.centre + canvas.light.sun_side * canvas.rng.uniform(60, 560)
    v = bottom - canvas.rng.uniform(20, 90) if low else canvas.rng.uniform(10, 140)
    warm: Colour = (150, 210, 255) if low else (235, 250, 255)
    canvas.glow(u, v, canvas.rng.uniform(120, 260), (warm[0] * 0.6, warm[1] * 0.6, warm[2] * 0.6))
    canvas.glow(u, v, 26, warm)


def _paint_clouds(canvas: Canvas, conditions: Conditions, bottom: int, grain: Bytes) -> None:
    """Blend in clouds: smooth noise of several sizes, stretched sideways."""
    import cv2

    rng = canvas.rng
    field = np.zeros((72, 160), np.float32)
    for cells in (8, 16, 32, 64):
        row, column = rng.integers(0, 400, 2)
        part = grain[row : row + max(cells // 3, 2), column : column + cells].astype(np.float32) - 128
        field += cv2.resize(part, (160, 72), interpolation=cv2.INTER_CUBIC) * (8 / cells) ** 0.7
    field = (field - field.min()) / max(float(np.ptp(field)), 1e-3)
    cloudiness = CLOUDINESS[conditions.weather] * rng.uniform(0.8, 1.1)
    alpha = np.clip((field - (1 - cloudiness)) * 2.2, 0, 0.85) * 255
    veil = cv2.resize(alpha.astype(np.uint8), (WIDTH, bottom), interpolation=cv2.INTER_LINEAR)
    bright = 0.72 if conditions.timeofday == "dawn/dusk" else 1.0
    tone = np.array([238.0, 236, 236]) * bright * (0.78 if conditions.weather in ("rainy", "overcast") else 1.0)
    sky, veils = canvas.picture[:bottom], cv2.cvtColor(veil, cv2.COLOR_GRAY2BGR)
    clouds = cv2.multiply(veils, (*tone.tolist(), 0), scale=1 / 255)
    cv2.multiply(sky, 255 - veils, sky, 1 / 255)
    cv2.add(sky, clouds, sky)


def _paint_far_skyline(canvas: Canvas, conditions: Conditions) -> None:
    """Paint hills or a hazy row of houses just above the horizon."""
    rng, horizon = canvas.rng, canvas.view.horizon
    canvas.stand(0.0, min(canvas.light.reach * 0.9, 350.0))
    if conditions.place == "city street":
        for u in np.arange(-20, WIDTH, rng.uniform(35, 60)):
            top = horizon - rng.uniform(12, 75)
            wide = rng.uniform(35, 80)
            outline = np.array([[u, top], [u + wide, top], [u + wide, horizon + 3], [u, horizon + 3]])
            canvas.fill(outline, colour=(115, 105, 100), gain=rng.uniform(0.8, 1.1))
        return
    u = np.linspace(-20, WIDTH + 20, 60)
    waves = sum(np.sin(u / rng.uniform(60, 260) + rng.uniform(0, 6)) * rng.uniform(3, 9) for _ in range(4))
    tops = horizon - 16 - rng.uniform(0, 25) + waves - np.abs(rng.normal(0, 2.5, len(u)))
    outline = np.stack([np.r_[u, u[::-1]], np.r_[tops, np.full(len(u), horizon + 3)]], 1)
    canvas.fill(outline, colour=(75, 92, 72), gain=1.0)
