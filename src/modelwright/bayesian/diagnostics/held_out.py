"""Bounds on the log predictive density of data that a guide was not fitted to, unit by unit (cell by cell).

With q(theta) the guide of what all units share, q(z | y, theta) what the guide makes of a new unit's own data, and
draws theta_k ~ q(theta), z_k ~ q(z | y, theta_k) of weight w_k = p(y | z_k, theta_k) p(z_k | theta_k) / q(z_k | y,
theta_k),

    ELBO:                 mean of log w_k          <=    importance-weighted:  log of the mean of w_k
                                                   <=    log of the integral of p(y | theta) q(theta)  = log p(y | data)

in expectation, and as far as q(theta) is the posterior. Where a model reads a quantity off the counts themselves, such
as their total for a scale of the cell, p(y | z, theta) is the likelihood with that quantity put in: comparable between
models that read off the same, but no density of counts that adds up to 1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.util import compute_log_probs

from modelwright.bayesian.diagnostics.units import by_unit, chosen_unit
from modelwright.bayesian.inference.autoguides import settled_guide
from modelwright.bayesian.inference.data_models import AbstractDataModel, observing_row_by_row
from modelwright.bayesian.inference.guide_draws import in_blocks
from modelwright.bayesian.inference.model_sites import Sites, find_sites
from modelwright.bayesian.inference.tracing import TRACING, Call
from modelwright.core.errors import ConfigurationError
from modelwright.core.seeds import check_seed, named_seed

if TYPE_CHECKING:
    from modelwright.bayesian.inference.fit_result import Subject

FIELD = "held-out bound"


@dataclass(frozen=True, eq=False)
class HeldOutBound:
    """Bounds on the log predictive density of every new unit, in nats.

    Args:
        unit: The plate whose values are the units, such as "cells".
        elbo: The evidence lower bound of each unit, shape (n_units,).
        weighted: The importance-weighted bound of each, shape (n_units,): nearer to the log predictive density.
        particles: Draws that both rest on.
    """

    unit: str
    elbo: np.ndarray
    weighted: np.ndarray
    particles: int

    @property
    def mean(self) -> float:
        """The evidence lower bound per unit."""
        return float(self.elbo.mean())

    @property
    def weighted_mean(self) -> float:
        """The importance-weighted bound per unit."""
        return float(self.weighted.mean())

    @property
    def sentence(self) -> str:
        """Both bounds in words, each with the standard error that the choice of units gives it."""
        errors = [_error(values) for values in (self.elbo, self.weighted)]
        return (
            f"{len(self.elbo):,} held-out {self.unit}: bound {self.mean:,.2f} (standard error {errors[0]:.2f}) nats "
            f"each, importance-weighted with {self.particles} draws {self.weighted_mean:,.2f} ({errors[1]:.2f})"
        )


def held_out_bound(
    guide: Callable[..., Any],
    values: Mapping[str, Any],
    fitted: "Subject",
    data: Any,
    *,
    particles: int = 100,
    seed_number: int = 0,
    guide_seed: int = 0,
    double: bool = True,
    kwargs: Mapping[str, Any] | None = None,
) -> HeldOutBound:
    """Bounds of new units under a fitted guide.

    Args:
        guide: The guide.
        values: Its fitted parameters and the model's, by name.
        fitted: The model with the data it was fitted to.
        data: New data as `svi` takes them: of a built model counts of any kind, else the model's positional arguments.
        particles: Draws.
        seed_number: Seed of the draws.
        guide_seed: Seed with which an autoguide was set up.
        double: Whether to compute in double precision, as fits do that were made so. Single precision, four times as
            fast, is enough for the densities of single units, unlike those of whole tables.
        kwargs: Keyword arguments of model and guide that go with the new data; those of the fit when left out.

    Raises:
        ConfigurationError: the guide keeps numbers for every unit it was fitted to.
        DataError: the model observes all data in one number, or the new data do not fit it.
    """
    check_seed(seed_number)
    if isinstance(particles, bool) or not isinstance(particles, int) or particles < 1:
        raise ConfigurationError(
            "not usable", field="particles", expected="a whole number of at least 1", got=particles
        )
    model = observing_row_by_row(fitted.model)
    before, values = fitted.call, dict(values)
    with jax.enable_x64(double):
        sites = find_sites(model, before)
        (unit,) = chosen_unit(sites, None, field=FIELD)
        known = settled_guide(guide, before, guide_seed)
        _refuse_kwargs_of_units(before, kwargs, sites, unit)
        single, first = _calls(fitted, guide, data, unit, kwargs, rows=1)
        probe = next(first)
        _refuse_numbers_of_units(model, settled_guide(single, probe, guide_seed), probe, values, unit)
        fresh, parts = _calls(fitted, guide, data, unit, kwargs)
        keys = jax.random.split(jax.random.key(named_seed(seed_number, "held out")), particles)
        found = []
        for call in parts:
            one = _log_weights(model, known, settled_guide(fresh, call, guide_seed), before, call, sites, unit)
            arrays = (values, before.device_arrays(), call.device_arrays())
            found.append(np.asarray(in_blocks(one, arrays, keys), np.float64))
    log_weights = np.concatenate(found, axis=1)
    largest = log_weights.max(axis=0)
    weighted = largest + np.log(np.exp(log_weights - largest).mean(axis=0))
    return HeldOutBound(unit, log_weights.mean(axis=0), weighted, particles)


def _calls(
    fitted: "Subject",
    guide: Callable[..., Any],
    data: Any,
    unit: str,
    given: Mapping[str, Any] | None,
    *,
    rows: int | None = None,
) -> tuple[Callable[..., Any], Iterator[Call]]:
    """The guide for new data, and calls with parts of these; of `rows` units each where that is said."""
    args, kwargs = fitted.call.arguments(fitted.call.arrays)
    kwargs = kwargs if given is None else dict(given)
    constant = fitted.call.is_constant
    if isinstance(fitted.model, AbstractDataModel):
        fresh, parts = fitted.model.unseen(data, guide, args[0], rows=rows)
        return fresh, (Call.of((part,), kwargs, constant=constant) for part in parts)
    whole = Call.of(data if isinstance(data, tuple) else (data,), kwargs, constant=constant)
    if rows is None:
        return guide, iter([whole])
    n = find_sites(fitted.model, whole).plates[unit]
    taken = jax.tree.map(
        lambda leaf: leaf[:rows] if np.ndim(leaf) and len(leaf) == n else leaf, whole.arguments(whole.arrays)
    )
    return guide, iter([Call.of(*taken, constant=constant)])


def _refuse_kwargs_of_units(before: Call, given: Mapping[str, Any] | None, sites: Sites, unit: str) -> None:
    """Refuse to judge new data beside keyword arguments that belong to the units that were fitted to."""
    if given is not None:
        return
    n = sites.plates[unit]
    _, kwargs = before.arguments(before.arrays)
    own = [
        name
        for name, value in kwargs.items()
        if any(np.ndim(leaf) and len(leaf) == n for leaf in jax.tree.leaves(value))
    ]
    if own:
        raise ConfigurationError(
            f"{', '.join(own)} of the fit has a value for each of the {n} {unit} that were fitted to",
            field="kwargs",
            expected=f"{', '.join(own)} of the new data",
            todo=f"pass kwargs={{{own[0]!r}: ...}}, all keyword arguments together",
        )


def _refuse_numbers_of_units(
    model: Callable[..., Any], guide: Callable[..., Any], probe: Call, values: Mapping[str, Any], unit: str
) -> None:
    """Refuse parameters whose shape is another for a single unit: they are numbers of the units fitted to."""
    shapes: dict[str, Any] = {}

    def run(key: Any, arrays: tuple[Any, ...]) -> None:
        args, kwargs = probe.arguments(arrays)
        for fn in (guide, model):
            for name, site in trace(seed(fn, key)).get_trace(*args, **kwargs).items():
                if site["type"] == "param":
                    shapes[name] = [np.shape(leaf) for leaf in jax.tree.leaves(site["value"])]

    with TRACING:
        jax.eval_shape(run, jax.random.key(0), probe.device_arrays())
    own = [
        name
        for name, value in values.items()
        if name in shapes and [np.shape(leaf) for leaf in jax.tree.leaves(value)] != shapes[name]
    ]
    if own:
        raise ConfigurationError(
            f"every value of {unit} that was fitted to has numbers of its own ({', '.join(own)}): what they would be "
            "for new ones nothing says",
            field=FIELD,
            expected="a guide that reads the unknowns of single values off their data",
            todo="guide them with AmortizedGuide or GroupedAmortizedGuide, or fit the new data together with the old",
        )


def _log_weights(
    model: Callable[..., Any],
    known: Callable[..., Any],
    fresh: Callable[..., Any],
    before: Call,
    call: Call,
    sites: Sites,
    unit: str,
) -> Callable[..., Any]:
    """A function of one draw: log w of every unit of a call."""
    shared = [name for name, site in sites.latent.items() if unit not in dict(site.plates)]

    def summed(log_probs: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
        return sum(by_unit(log_probs[name], dict(names[name].plates), (unit,), name, field=FIELD) for name in names)

    own = {name: site for name, site in sites.latent.items() if name not in shared}

    def one(fixed: Any, key: Any) -> Any:
        values, old, new = fixed
        of_shared, of_own, of_model = jax.random.split(key, 3)
        given = dict(values)
        if shared:  # from the guide as it saw the data before: what a network reads off these stays what it was
            args, kwargs = before.arguments(old)
            drawn = trace(substitute(seed(known, of_shared), data=given)).get_trace(*args, **kwargs)
            given |= {name: drawn[name]["value"] for name in shared}
        args, kwargs = call.arguments(new)
        of_q, drawn = compute_log_probs(seed(fresh, of_own), args, kwargs, given, sum_log_prob=False)
        replayed = replay(seed(model, of_model), drawn)
        of_p, _ = compute_log_probs(replayed, args, kwargs, given, sum_log_prob=False)
        return summed(of_p, {**sites.observed, **own}) - summed(of_q, own)

    return one


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
