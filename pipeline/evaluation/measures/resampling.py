"""Bootstrap over images (Efron & Tibshirani, 1993): how far a figure jumps with the images that were drawn to judge on.

The image is what is drawn, since the instances of one image resemble each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.measures.matches import Floats, Ints, MatchTable

RESAMPLES = 1000
SEED = 2019
SHARES = (0.025, 0.975)
"""Ends of the interval, of all resamples: it holds 95 %."""
LEAST_IMAGES = 10
"""Of fewer images hardly any two resamples differ, and their interval would look surer than it is."""


@dataclass(frozen=True)
class Interval:
    """Where 95 % of the resamples lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same images; None where no instance counts, or where the images are too few."""

    before: float | None
    after: float | None
    interval: Interval | None
    """Of the difference."""

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else round(self.after - self.before, 6)

    def text(self, figure: str) -> str:
        """Return `+0.012 AP, interval +0.004 to +0.020` for the name of a figure."""
        if self.difference is None:
            return f"no {figure}: nothing that counts is labelled"
        sure = self.interval
        interval_text = f"interval {sure.low:+.3f} to {sure.high:+.3f}" if sure else "too few images for an interval"
        return f"{self.difference:+.3f} {figure}, {interval_text}"


def resamples(images: int, count: int = RESAMPLES, seed: int = SEED) -> Ints:
    """Return how often each image is drawn in each of `count` resamples, [count, images] int64."""
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=count)
    return np.asarray(drawn, np.int64)


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Return the percentile interval of the resamples' values; None where none of them could be measured."""
    measured = values[~np.isnan(values)]
    if not measured.size:
        return None
    low, high = np.quantile(measured, SHARES).tolist()
    return Interval(round(low, 6), round(high, 6))


@dataclass(frozen=True)
class Differences:
    """Those of mask AP, AP50, and the AP of each class."""

    AP: Difference
    AP50: Difference
    per_class: dict[str, Difference]

    @property
    def by_name(self) -> dict[str, Difference]:
        """`AP`, `AP50`, then the classes by their names."""
        return {"AP": self.AP, "AP50": self.AP50, **self.per_class}


def differences(before: MatchTable, after: MatchTable, count: int = RESAMPLES) -> Differences:
    """Return how two models differ, each resample being of the same images for both.

    Both tables are of the same images and classes.
    """
    points = [table.average_precision() for table in (before, after)]
    drawn = [np.full((0, *points[0].shape[1:]), np.nan)] * 2
    if before.images >= LEAST_IMAGES:
        weights = resamples(before.images, count)
        drawn = [table.average_precision(weights) for table in (before, after)]

    def of(part: tuple[slice | int, ...], *axes: int) -> Difference:
        one, other = (mean(each[(slice(None), *part)], axes) for each in points)
        values = [mean(each[(slice(None), *part)], axes) for each in drawn]
        return Difference(number(one[0]), number(other[0]), interval(values[1] - values[0]))

    every = slice(None)
    per_class = {name: of((k, every), 1) for k, name in enumerate(before.classes)}
    return Differences(of((every, every), 1, 2), of((every, 0), 1), per_class)


def mean(values: Floats, axes: tuple[int, ...]) -> Floats:
    """Return the mean over `axes` of what is not NaN; NaN where all of it is."""
    measured = ~np.isnan(values)
    count = measured.sum(axis=axes)
    total = np.where(measured, values, 0).sum(axis=axes)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def number(value: float) -> float | None:
    """Return a figure with 6 decimals, None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)
