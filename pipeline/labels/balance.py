"""Repeat factors: how much more often an image is worth seeing since it holds a rare class.

A. Gupta, P. Dollár, R. Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019, section 4.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Sequence


def repeat_factors(images: Sequence[Collection[str]], threshold: float) -> list[float]:
    """Return a factor >= 1 for each image, given as the classes that it holds.

    A class that a share f of the images holds has the factor max(1, sqrt(threshold / f)); an image has the largest of
    its classes' factors, and 1 where it holds none.
    """
    holding = Counter(category for categories in images for category in set(categories))
    factors = {category: max(1.0, math.sqrt(threshold * len(images) / count)) for category, count in holding.items()}
    return [max((factors[category] for category in categories), default=1.0) for categories in images]


def repeats(names: Sequence[str], factors: Sequence[float], seed: int) -> list[int]:
    """Return how often each image is seen an epoch: its factor, rounded up or down by a draw of the same mean.

    LVIS draws anew each epoch; here the seed and the image's name decide once, so that training can be resumed.
    """
    return [
        math.floor(factor) + (draw(seed, "repeat", name) < factor - math.floor(factor))
        for name, factor in zip(names, factors, strict=True)
    ]


def rank(seed: int, name: str, weight: float) -> float:
    """Return a number by which the least are chosen: a draw without replacement in proportion to the weights.

    P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006: exponential draws of rate `weight`.
    """
    return -math.log1p(-draw(seed, "limit", name)) / weight


def draw(seed: int, purpose: str, name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()
    return int.from_bytes(digest[:7]) / (1 << 56)
