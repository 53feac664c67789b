"""Many data sets of one model fitted side by side by the steps of `svi`: the same program, start, rule and seeds.

`svi` traces and compiles for every fit, which takes longer than fits of this size themselves. Here the functions that
it compiles (`svi_steps.begin`, `advance`, `constrain`) run over all data sets at once; when each data set's ELBO is
level, and when its steps end, is decided by `svi`'s own `Course`. `count_recovery.py --parts same` holds both against
each other.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import replay
from numpyro.handlers import seed as seeded
from numpyro.infer.util import compute_log_probs

from modelwright.bayesian.builders import Guide, Model, starts
from modelwright.bayesian.components import ObservedCounts, Start
from modelwright.bayesian.diagnostics.guide_checks import guide_k_hat
from modelwright.bayesian.inference.svi_course import Course
from modelwright.bayesian.inference.svi_optimizer import default_optimizer
from modelwright.bayesian.inference.svi_settings import USUAL_RATE, SviSettings
from modelwright.bayesian.inference.svi_sharding import layout_over
from modelwright.bayesian.inference.svi_steps import Problem, advance, begin, constrain, default_elbo
from modelwright.bayesian.inference.tracing import Call

CHUNK = 100
"""Steps between two looks at the ELBO: every step at which `Course` decides or ends is a multiple of it."""


@contextmanager
def climbed_once(known: dict[str, Any]) -> Iterator[None]:
    """The climb to a data set's mode, which does not depend on the guide, is made once and then looked up."""
    of_mode, of_curvature = starts.mode_of, starts.curvature_at

    def mode_of(*args: Any, **kwargs: Any) -> Any:
        if "mode" not in known:
            known["mode"] = of_mode(*args, **kwargs)
        return known["mode"]

    def curvature_at(*args: Any) -> Any:
        if "curvature" not in known:
            known["curvature"] = of_curvature(*args)
        return known["curvature"]

    starts.mode_of, starts.curvature_at = mode_of, curvature_at
    try:
        yield
    finally:
        starts.mode_of, starts.curvature_at = of_mode, of_curvature


@dataclass(frozen=True)
class Fits:
    """Fits of all data sets.

    Args:
        draws: Site -> draws, shape (data set, draw, ...).
        k_hat: Of each guide against its posterior.
        steps: Steps made of each.
    """

    draws: dict[str, np.ndarray]
    k_hat: list[float]
    steps: list[int]


def fit_all(
    model: Model,
    guide: Guide,
    data: Sequence[ObservedCounts],
    known: Sequence[dict[str, Any]],
    *,
    steps: int,
    draws: int,
    seed: int,
) -> Fits:
    """Fit a guide to every data set; call with double precision on.

    Args:
        model: The model.
        guide: The guide.
        data: The data sets, all of the same shapes.
        known: What has been found of each data set's mode; filled in.
        steps: The most steps.
        draws: Draws of each fitted guide.
        seed: Seed of every fit, as for `svi`.
    """
    readies = []
    for each, found in zip(data, known, strict=True):
        with climbed_once(found):
            readies.append(model.made_ready(each, guide))
    settings = SviSettings()
    rates = np.array([USUAL_RATE if ready.learning_rate is None else ready.learning_rate for ready in readies])
    calls = [Call.of((ready.data,), {}) for ready in readies]
    arrays = tuple(np.stack(parts) for parts in zip(*(call.device_arrays() for call in calls), strict=True))
    begun = stacked_starts([ready.guide for ready in readies])

    def problem(rate: Any, found: Any) -> Problem:
        there = guide.starting_at({name: Start(**parts) for name, parts in found.items()})
        elbo = default_elbo(settings.particles)
        optimizer = default_optimizer(rate)
        return Problem(model, there, calls[0], optimizer, elbo, settings.warm_up, {}, layout_over(settings.devices))

    def first(rate: Any, found: Any, key: Any, arrays: Any) -> Any:
        return begin(problem(rate, found), key, arrays)

    def onward(state: Any, rate: Any, arrays: Any, cool_from: Any, cool_steps: Any, going: Any) -> Any:
        after, losses = advance(problem(rate, {}), state, arrays, CHUNK, cool_from, cool_steps)
        return jax.tree.map(lambda new, old: jnp.where(going, new, old), after, state), losses[:CHUNK]

    keys = jnp.stack([jax.random.key(seed)] * len(data))
    state = jax.jit(jax.vmap(first))(rates, begun, keys, arrays)
    onward_all = jax.jit(jax.vmap(onward))
    courses = [Course(steps, settings) for _ in data]
    while not all(course.is_over for course in courses):
        going = np.array([not course.is_over for course in courses])
        cool_from = np.array([course.cool_from for course in courses], np.int32)
        cool_steps = np.array([course.cool_steps for course in courses], np.int32)
        state, losses = onward_all(state, rates, arrays, cool_from, cool_steps, going)
        for course, found in zip(courses, np.asarray(losses), strict=True):
            if not course.is_over:
                course.add(found)
    drawn, of_model, of_guide = drawn_from(model, guide, problem(0.0, {}), state.params, arrays, draws)
    found = [guide_k_hat(*each).value for each in zip(of_model, of_guide, strict=True)]
    k_hat = [float("inf") if value is None else float(value) for value in found]
    return Fits(drawn, k_hat, [course.done for course in courses])


def stacked_starts(guides: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Where every guide begins, arrays with the data sets first; slopes that a guide has none of are zero."""
    found: dict[str, dict[str, Any]] = {}
    for name in [spec.name for spec in guides[0].specs]:
        each = [guide.starts.get(name, Start()) for guide in guides]
        others = sorted({other for start in each for other in start.slopes})
        found[name] = {
            "location": _stacked([start.location for start in each]),
            "spread": _stacked([start.spread for start in each]),
            "slopes": {other: _stacked([start.slopes.get(other, 0.0) for start in each]) for other in others},
        }
    return found


def _stacked(parts: Sequence[Any]) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*(np.asarray(part, float) for part in parts)))


def drawn_from(
    model: Model, guide: Guide, problem: Problem, params: Any, arrays: Any, n: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Draws of latent and derived sites under every data set's guide, and the log densities of model and guide there.

    Args:
        model: The model.
        guide: The guide.
        problem: What was fitted.
        params: Unconstrained parameters of the guides, the data sets first.
        arrays: The data, likewise.
        n: Draws of each.
    """

    def one(values: Any, args: Any, kwargs: Any, key: Any) -> Any:
        of_q, sites = compute_log_probs(seeded(guide, key), args, kwargs, values)
        of_p, found = compute_log_probs(replay(seeded(model, key), sites), args, kwargs, values)
        drawn = {name: site["value"] for name, site in found.items() if _is_drawn(site)}
        return drawn, sum(of_p.values()), sum(of_q.values())

    def of_data_set(given: Any) -> Any:
        params, arrays = given
        args, kwargs = problem.call.arguments(arrays)
        values = dict(constrain(problem, params, arrays))
        keys = jax.random.split(jax.random.key(1), n)
        return jax.vmap(lambda key: one(values, args, kwargs, key))(keys)

    # one data set after the other: all draws of all tables at once would take gigabytes
    found: Any = jax.jit(lambda params, arrays: jax.lax.map(of_data_set, (params, arrays)))(params, arrays)
    drawn, of_model, of_guide = jax.tree.map(np.asarray, found)
    return drawn, of_model, of_guide


def _is_drawn(site: Any) -> bool:
    return site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])


def modes_of(model: Model, guide: Guide, data: Sequence[ObservedCounts]) -> list[dict[str, Any]]:
    """Mode and curvature of every data set."""
    known: list[dict[str, Any]] = [{} for _ in data]
    for each, found in zip(data, known, strict=True):
        with climbed_once(found):
            model.made_ready(each, guide)
    return known
