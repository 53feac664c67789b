"""Unconstrained coordinates of an extended model whose rates are integrated out.

    log mu (or log shape), log alpha, log phi        (log odds between the ends of a uniform prior)
    log odds of psi,  beta_raw,  gamma_raw,  log drift_scale,  drift_raw

as the model for NumPyro samples them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE

FARTHEST = 70.0
"""The posterior is taken as zero where the logarithm of a scale is farther than this from zero."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Where each parameter is in a vector of unconstrained numbers.

    Args:
        design: The data.
        config: Priors of the base model.
        extensions: Priors of what is added.
    """

    design: Design
    config: ModelConfig
    extensions: Extensions

    @cached_property
    def priors(self) -> dict[str, Hyperprior]:
        """Priors of the base model's parameters."""
        return self.config.hyperpriors()

    @cached_property
    def places(self) -> dict[str, slice]:
        """Parameter -> its coordinates, in their order."""
        sizes = dict.fromkeys(self.priors, 1)
        if self.extensions.has(names.ZERO_INFLATION):
            sizes[names.PSI] = 1
        for raw, level in ((names.BETA_RAW, self.design.entity_level), (names.GAMMA_RAW, self.design.window_level)):
            if level is not None:
                sizes[raw] = level.contrasts.shape[1]
        if self.design.drift is not None:
            sizes |= {names.DRIFT_SCALE: 1, names.DRIFT_RAW: self.design.drift.basis.shape[1]}
        found, at = {}, 0
        for name, size in sizes.items():
            found[name] = slice(at, at + size)
            at += size
        return found

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return max(place.stop for place in self.places.values())

    def parameters(self, point: Any, xp: Any = np) -> dict[str, Any]:
        """The sampled parameters at points (..., size): scalars of shape (...), vectors of shape (..., n).

        Args:
            point: Coordinates.
            xp: `numpy`, or `jax.numpy`.
        """
        found: dict[str, Any] = {}
        for name, place in self.places.items():
            part = point[..., place]
            match name:
                case names.BETA_RAW | names.GAMMA_RAW | names.DRIFT_RAW:
                    found[name] = part
                case names.PSI:
                    found[name] = 1.0 / (1.0 + xp.exp(-part[..., 0]))
                case _:
                    found[name] = self._positive(name, part[..., 0], xp)
        return found

    def _positive(self, name: str, coordinate: Any, xp: Any) -> Any:
        low, high = self.priors[name].support if name in self.priors else (0.0, math.inf)
        if math.isinf(high):
            return xp.exp(coordinate)
        return low + (high - low) / (1.0 + xp.exp(-coordinate))

    def point(self, values: Mapping[str, Any]) -> np.ndarray:
        """The coordinates of sampled parameters, scalars of shape (...) and vectors of shape (..., n)."""
        columns = []
        for name in self.places:
            value = np.asarray(values[name], float)
            match name:
                case names.BETA_RAW | names.GAMMA_RAW | names.DRIFT_RAW:
                    columns.append(value)
                case names.PSI:
                    columns.append(np.log(value / (1.0 - value))[..., None])
                case _:
                    columns.append(self._coordinate(name, value)[..., None])
        return np.concatenate(columns, axis=-1)

    def _coordinate(self, name: str, value: np.ndarray) -> np.ndarray:
        low, high = self.priors[name].support if name in self.priors else (0.0, math.inf)
        if math.isinf(high):
            return np.log(value)
        inside = np.clip(value, low + 1e-3 * (high - low), high - 1e-3 * (high - low))
        return np.log((inside - low) / (high - inside))

    def variables(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """What a trace holds, the rates excepted, at points of shape (..., size)."""
        values = self.parameters(points)
        found = {MU: values[MU] if MU in values else values[SHAPE] / values[ALPHA], ALPHA: values[ALPHA]}
        found |= {name: values[name] for name in (PHI, names.PSI) if name in values}
        if self.design.entity_level is not None:
            found[names.BETA] = values[names.BETA_RAW] @ self.design.entity_level.contrasts.T
        if self.design.window_level is not None:
            found[names.GAMMA] = values[names.GAMMA_RAW] @ self.design.window_level.contrasts.T
        if self.design.drift is not None:
            found[names.DRIFT_SCALE] = values[names.DRIFT_SCALE]
            found[names.DRIFT] = self.drift(values)
        return found

    def drift(self, values: Mapping[str, Any]) -> Any:
        """The drift of `parameters`, shape (..., n_levels)."""
        assert self.design.drift is not None
        raw = values[names.DRIFT_RAW] * values[names.DRIFT_SCALE][..., None] ** (1.0 - self.design.centring)
        return raw @ self.design.drift.basis.T

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """A point near the bulk of the posterior, and rough standard deviations, both of shape (size,)."""
        base = extended_start(self.design, self.config, self.extensions)
        point = self.point({name: base.values[name] for name in self.places})
        scale = np.full(self.size, 0.1)
        for name, place in self.places.items():
            scale[place] = base.scales[name]
        return point, scale

    def usable(self, points: np.ndarray) -> np.ndarray:
        """Where there is any mass to speak of, shape (n,): points (n, size) within `FARTHEST`."""
        ends = [place.start for name, place in self.places.items() if not name.endswith("_raw")]
        return np.isfinite(points).all(-1) & (np.abs(points[:, ends]) < FARTHEST).all(-1)


def coordinates_of(design: Design, config: ModelConfig, extensions: Extensions) -> Coordinates:
    """The coordinates of a model.

    Example:
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.data.events import EventCounts
        >>> inflated = Extensions.create(chosen="zero_inflation")
        >>> design = design_of(EventCounts.from_arrays(entity=["a", "b"], count=[1, 2]), inflated)
        >>> list(coordinates_of(design, ModelConfig(), inflated).places)
        ['mu', 'alpha', 'phi', 'psi']
    """
    return Coordinates(design, config, extensions)
