"""Points in the plane whose density is known: what a flow learns can be held against the truth."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np


class AbstractPlane(ABC):
    """A distribution over the plane with a known density."""

    @abstractmethod
    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Points, shape (n, 2)."""

    @abstractmethod
    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density of points, nats, shape (n,)."""

    def entropy(self, n: int = 200_000, seed: int = 0) -> tuple[float, float]:
        """The entropy in nats by Monte Carlo, and its standard error."""
        values = -self.log_density(self.draw(n, np.random.default_rng(seed)))
        return float(values.mean()), float(values.std() / np.sqrt(n))


@final
@dataclass(frozen=True)
class Noisy(AbstractPlane):
    """Points along a curve of equal mass everywhere, with normal noise about it.

    The density is the mean of normal densities about very many points of the curve.

    Args:
        curve: Points of the curve, equally spaced in mass, shape (m, 2).
        spread: Standard deviation of the noise.
    """

    curve: np.ndarray
    spread: float

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Points, shape (n, 2)."""
        at = self.curve[generator.integers(0, len(self.curve), n)]
        return np.asarray(at + self.spread * generator.standard_normal((n, 2)))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density, nats."""
        found = np.empty(len(x))
        for start in range(0, len(x), 4096):
            part = x[start : start + 4096]
            squared = ((part[:, None] - self.curve) ** 2).sum(-1) / (2.0 * self.spread**2)
            least = squared.min(1)
            found[start : start + 4096] = np.log(np.exp(least[:, None] - squared).mean(1)) - least
        return np.asarray(found - np.log(2.0 * np.pi * self.spread**2))


def moons(spread: float = 0.1) -> AbstractPlane:
    """Two half circles that reach into each other.

    Example:
        >>> moons().draw(3, np.random.default_rng(0)).shape
        (3, 2)
    """
    angle = (np.arange(500) + 0.5) / 500 * np.pi
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return Noisy(np.concatenate([upper, lower]) - [0.5, 0.25], spread)


def eight_gaussians(radius: float = 2.0, spread: float = 0.2) -> AbstractPlane:
    """Eight normal heaps on a circle."""
    angle = np.arange(8) / 8 * 2.0 * np.pi
    return Noisy(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), spread)


def rings(spread: float = 0.08) -> AbstractPlane:
    """Two circles about the origin, of radius 1 and 2, of equal mass."""
    angle = np.arange(400) / 400 * 2.0 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Noisy(np.concatenate([circle, 2.0 * circle]), spread)


@final
@dataclass(frozen=True)
class Checkerboard(AbstractPlane):
    """Eight of the sixteen squares of a board over [-2, 2]^2, equally dense in each: log density -log 8."""

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Points, shape (n, 2)."""
        row = generator.integers(0, 4, n)
        column = 2 * generator.integers(0, 2, n) + row % 2
        corner = np.stack([column, row], axis=1) - 2.0
        return corner + generator.random((n, 2))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density, nats: minus infinity on the other squares."""
        square = np.floor(x + 2.0)
        inside = ((square >= 0) & (square < 4)).all(1) & ((square.sum(1) % 2) == 0)
        return np.asarray(np.where(inside, -np.log(8.0), -np.inf))


PLANES: dict[str, Callable[[], AbstractPlane]] = {
    "moons": moons,
    "eight_gaussians": eight_gaussians,
    "rings": rings,
    "checkerboard": Checkerboard,
}
"""Name -> what makes it."""
