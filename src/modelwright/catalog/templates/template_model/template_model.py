"""Template model: counts per group that depend on one measured quantity, the groups partly pooled.

    intercept ~ Normal(0, 2)      slope ~ Normal(0, 1)      spread ~ HalfNormal(1)
    level_g ~ Normal(intercept, spread)                     one per group, log count at x = 0
    count_i ~ Poisson(exp(level_g(i) + slope * x_i))

Four things make a model: `load_data`, `fit` (here in three steps: build, sample, check) and `ask`. Change them one by
one; the training script and `modelwright train template_model` keep working.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics.convergence import assess_convergence, convergence_section
from modelwright.bayesian.inference.samplers import sample_numpyro_model
from modelwright.catalog.base_model import BaseBayesianModel, TrainingSettings
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.sections import Section, Table, TrainingOutcome
from modelwright.core.seeds import named_generator
from modelwright.runs.record import RunRecord

from .template_model_data import GroupedCounts, read_counts, simulate_counts


def count_regression(group_idx: Any, x: Any, n_groups: int, count: Any = None) -> None:
    """The model as NumPyro reads it; without `count` it simulates.

    Args:
        group_idx: Which group, shape (obs,).
        x: The measured quantity, shape (obs,).
        n_groups: Groups.
        count: What was counted, shape (obs,).
    """
    # Imported here: asking a trained model needs no sampler, and answers without waiting for one to load.
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("group_plate", n_groups):
        # Few observations per group? Sample Normal(0, 1), times spread, plus intercept: the same prior, easier then.
        level = numpyro.sample("level", dist.Normal(intercept, spread))
    log_rate = level[group_idx] + slope * x
    with numpyro.plate("obs_plate", len(x)):
        numpyro.sample("count", dist.Poisson(jnp.exp(log_rate)), obs=count)


@dataclass(frozen=True)
class BuiltModel:
    """A model function with its data, ready to sample.

    Args:
        function: The NumPyro model.
        arguments: What it is called with.
        coords: Dimension -> labels.
        dims: Site -> its dimensions.
    """

    function: Any
    arguments: Mapping[str, Any]
    coords: Mapping[str, Any]
    dims: Mapping[str, Any]


class TemplateModel(BaseBayesianModel):
    """The template model in the catalog; the parameters of its methods stand in config.yaml."""

    def load_data(self, *, data: str | None = None, **_: Any) -> GroupedCounts:
        """Counts from a CSV file, or simulated ones when none is given."""
        return read_counts(Path(data)) if data else simulate_counts()

    def fit(
        self,
        data: GroupedCounts,
        *,
        settings: TrainingSettings,
        progress: ProgressCallback,
        platform: str = "cpu",
        **_: Any,
    ) -> TrainingOutcome:
        """Build, sample, check."""
        built = self.build(data)
        trace = self.sample(built, settings, platform=platform, progress=progress)
        return self.check(trace, data, progress=progress)

    def build(self, data: GroupedCounts) -> BuiltModel:
        """The model function, its data, and names for its dimensions."""
        return BuiltModel(
            count_regression,
            {"group_idx": data.group_idx, "x": data.x, "n_groups": len(data.groups), "count": data.count},
            coords={"group": list(data.groups)},
            dims={"level": ["group"]},
        )

    def sample(
        self,
        built: BuiltModel,
        settings: TrainingSettings,
        *,
        platform: str = "cpu",
        progress: ProgressCallback = ignore_progress,
    ) -> Any:
        """Draw from the posterior with NUTS; the trace is an ArviZ InferenceData."""
        return sample_numpyro_model(
            built.function,
            settings,
            model_kwargs=built.arguments,
            coords=built.coords,
            dims=built.dims,
            platform="gpu" if platform == "gpu" else "cpu",
            progress=progress,
        )

    def check(
        self, trace: Any, data: GroupedCounts, *, progress: ProgressCallback = ignore_progress
    ) -> TrainingOutcome:
        """Judge the trace, and say in figures and tables what came out."""
        assessment = assess_convergence(trace, progress=progress)
        posterior = trace.posterior
        names = ("intercept", "slope", "spread")
        means = {name: float(posterior[name].mean()) for name in names}
        rows = tuple(
            (
                name,
                round(means[name], 3),
                *(round(float(posterior[name].quantile(q)), 3) for q in (0.05, 0.95)),
                None if data.truth is None else data.truth[name],
            )
            for name in names
        )
        found = Table(
            "Parameters",
            ("parameter", "mean", "5 %", "95 %", "simulated with"),
            rows,
            "Posterior means and central 90 % intervals, on the log scale.",
            headline=True,
        )
        return TrainingOutcome(
            trace=trace,
            verdict=assessment.verdict,
            metrics={**{f"{name}_mean": value for name, value in means.items()}, "n_obs": int(data.count.size)},
            sections=(Section("What was found", tables=(found,)), convergence_section(trace, assessment=assessment)),
        )

    def ask(self, params: dict[str, Any], run: RunRecord) -> dict[str, Any]:
        """The expected count for one group at one x, with its credible interval."""
        posterior = run.trace().posterior.stack(sample=("chain", "draw"))
        known = posterior["group"].values.tolist()
        group, x, interval = params["group"] or None, params["x"], params["interval"]
        notes = []
        if group in known:
            level = posterior["level"].sel(group=group).values
        else:
            # A group never seen is one more draw from the population of groups.
            rng = named_generator(run.manifest.seeds["seed"], "new group")
            standard = rng.normal(size=posterior.sizes["sample"])
            level = posterior["intercept"].values + posterior["spread"].values * standard
            notes.append(f"group {group!r} was never seen" if group else "no group given")
            notes[-1] += "; predicted from the population of groups"
        rate = np.exp(level + posterior["slope"].values * x)
        lower, upper = np.quantile(rate, [(1 - interval) / 2, (1 + interval) / 2])
        return {
            "title": "Expected count",
            "predictions": [{"group": group, "x": x, "mean": float(rate.mean()), "median": float(np.median(rate))}],
            "credible_intervals": [{"probability": interval, "lower": float(lower), "upper": float(upper)}],
            "notes": notes,
        }
