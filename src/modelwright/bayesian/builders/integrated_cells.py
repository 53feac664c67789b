"""Cells integrated out of a model: its sites are those of genes and globals, its cells are drawn afterwards.

    with_likelihood(NegativeBinomialLikelihood(capture="p_capture"), integrate_out="p_capture")

Given the genes, a cell's capture probability sees only the cell's total, so that one integral for each total takes the
place of one unknown for each cell. What comes after a fit finds the capture probabilities there all the same: they are
drawn from their distribution given every draw of the genes' parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import jax
import numpy as np

from modelwright.bayesian.builders.parameter_specs import BetaSpec
from modelwright.bayesian.builders.specification import CELLS, GENES, AbstractParamSpec
from modelwright.bayesian.components.captured_cells import CapturedCellsLikelihood
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.bayesian.components.marginal_capture import capture_quantile
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.bayesian.inference.data_models import IntegratedOut
from modelwright.core.errors import ConfigurationError
from modelwright.core.seeds import named_generator

if TYPE_CHECKING:
    from modelwright.bayesian.builders.model import Model


@final
@dataclass(frozen=True, eq=False)
class IntegratedCells:
    """The capture probabilities that a model has integrated out.

    Args:
        joint: The model with them among its sites, of the same density of everything else.
        capture: Their name.
        likelihood: The likelihood without them.
    """

    joint: "Model"
    capture: str
    likelihood: CapturedCellsLikelihood

    def unknowns(self, plate: str) -> IntegratedOut:
        """What they are drawn given, and how.

        Args:
            plate: Name of the plate of cells.
        """
        return IntegratedOut({self.capture: (plate,)}, self.likelihood.parameters, self._draw)

    def _draw(self, given: Mapping[str, np.ndarray], args: tuple[Any, ...], seed: int) -> dict[str, np.ndarray]:
        data: ObservedCounts = args[0]
        totals = np.asarray(data.dense).sum(1) if data.compressed is None else np.asarray(data.compressed.cell_total)
        total, place = np.unique(totals, return_inverse=True)
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            doubled = {name: np.asarray(given[name], np.float64) for name in self.likelihood.parameters}
            n = len(next(iter(doubled.values())))
            level = named_generator(seed, self.capture).uniform(size=(n, len(totals)))

            def one(level: Any, values: Any) -> Any:
                r, logits, a, b = self.likelihood.arguments(values)
                whole = r.sum() if r.ndim else r * data.n_genes
                return capture_quantile(level, place, total.astype(float), whole, logits, a, b)

            # one draw at a time: the tables of all totals are far larger than what comes out
            found = jax.jit(lambda each: jax.lax.map(lambda pair: one(*pair), each))((level, doubled))
            return {self.capture: np.asarray(found)}


def integrated(model: "Model", name: str) -> "Model":
    """A model with its capture probabilities integrated out.

    Args:
        model: The model with them.
        name: Their name.

    Raises:
        ConfigurationError: the integral of a cell is none over a single number with the cell's total alone.
    """
    spec, given_capture = _checked(model, name)
    a, b = spec.default_params
    likelihood = CapturedCellsLikelihood(given_capture, (a, b))  # type: ignore[arg-type]
    return replace(
        model,
        parts=tuple(part for part in model.parts if part.name != name),
        dims={other: axes for other, axes in model.dims.items() if other != name},
        likelihood=likelihood,
        integrated=IntegratedCells(model, name, likelihood),
    )


def _checked(model: "Model", name: str) -> tuple[AbstractParamSpec, NegativeBinomialLikelihood]:
    spec = next((spec for spec in model.specs if spec.name == name), None)
    likelihood = model.likelihood
    if not isinstance(likelihood, NegativeBinomialLikelihood) or likelihood.capture != name:
        raise _refusal(name, "the likelihood does not capture by it", f'NegativeBinomialLikelihood(capture="{name}")')
    if likelihood.mean is not None:
        raise _refusal(name, "a likelihood by its mean has no total that says all of a cell", "success or odds_against")
    if likelihood.gate is not None:
        raise _refusal(name, "behind gates a cell is not known by its total", "a likelihood without gate")
    if not isinstance(spec, BetaSpec) or spec.dims != (CELLS,):
        raise _refusal(name, "no capture probability of cells", f'BetaSpec("{name}", ("{CELLS}",), (1.0, 1.0))')
    if model.groups:
        raise _refusal(name, "the model has a latent vector for every cell, too", "a model without latent vectors")
    user = next((part.name for part in model.parts if name in part.depends_on), None)
    if user is not None:
        raise _refusal(name, f"{user} is computed from it", "nothing that depends on it but the counts")
    of_counts = [each for each in likelihood.parameters if each not in (name, likelihood.concentration)]
    shared = [*of_counts, *spec.depends_on]
    for other, allowed in [*((each, set()) for each in shared), (likelihood.concentration, {GENES})]:
        if set(model.dims[other]) - allowed:
            raise _refusal(
                name,
                f"{other} differs along {', '.join(sorted(set(model.dims[other]) - allowed))}, so that a cell is not "
                "known by its total",
                f"{other} with {'the axis n_genes or none' if allowed else 'no axes'}",
            )
    if any(isinstance(part, tuple) for part in spec.default_params):
        raise _refusal(name, "its prior differs between cells", "single numbers, or names of single parameters")
    return spec, likelihood


def _refusal(name: str, what: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be integrated out: {what}", field=name, expected=expected, todo="leave integrate_out out"
    )
