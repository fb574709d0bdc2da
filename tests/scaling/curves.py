"""Invented training runs about a law that is known: sizes, errors, and whose they are."""

from __future__ import annotations

import numpy as np

SIZES = np.geomspace(1e5, 6.4e6, 30)
IMAGES = 12000


def about(sizes, seeds=2, noise=0.03, law=(0.05, 30.0, 0.45), seed=0):
    """Sizes, errors and architectures of training runs about ``E + A x^-alpha``."""
    rng = np.random.default_rng(seed)
    floor, factor, alpha = law
    mean = (floor + factor * np.asarray(sizes) ** -alpha)[:, None]
    error = mean * rng.lognormal(0, noise, (len(sizes), seeds))
    owner = np.repeat(np.arange(len(sizes)), seeds)
    return np.repeat(sizes, seeds), error.ravel(), owner


def grid(alpha=0.5, beta=0.4, parts=(0.05, 0.15, 0.2), noise=0.02):
    """20 networks over 32x, each on 1/8 to all of the images: sizes (80, 2), errors, owners."""
    rng = np.random.default_rng(1)
    network = np.repeat(np.geomspace(1e5, 3.2e6, 20), 4)
    images = np.tile(IMAGES / np.array([8, 4, 2, 1]), 20)
    error = parts[0] + parts[1] * (network / 1e5) ** -alpha + parts[2] * (images / 1500) ** -beta
    error = error * rng.lognormal(0, noise, 80)
    return np.column_stack([network, images]), error, np.repeat(np.arange(20), 4)
