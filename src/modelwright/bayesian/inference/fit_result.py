"""What every fit can do, however it was made: it has a posterior, it can sample, it says whether to trust it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from modelwright.bayesian.inference.data_models import drawn_with_integrated, integrated_out_of, with_all_unknowns
from modelwright.bayesian.inference.model_sites import Sites, find_sites
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.core.probability import check_probability
from modelwright.core.verdict import Verdict

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.pointwise_loo import PointwiseLoo


@dataclass(frozen=True, eq=False)
class Subject:
    """What was fitted: a model with its data, and how its dimensions are called.

    Args:
        model: The NumPyro model.
        call: What it is called with, all data at once.
        coords: Dimension -> labels.
        dims: Site -> names of its dimensions; plates name them where nothing is said.
    """

    model: Callable[..., Any]
    call: Call
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def sites(self) -> Sites:
        """The sites of the model."""
        return find_sites(self.model, self.call)

    def with_all_unknowns(self) -> "Subject":
        """The same data under the model with all its unknowns, those too that the fitted one has integrated out."""
        return replace(self, model=with_all_unknowns(self.model))

    def named_dims(self) -> dict[str, list[str]]:
        """Site -> names of its dimensions."""
        sites = self.sites()
        found = {name: site.dims for group in (sites.latent, sites.deterministic) for name, site in group.items()}
        hidden = integrated_out_of(self.model)
        found |= {} if hidden is None else {name: list(names) for name, names in hidden.dims.items()}
        return {**found, **{name: list(names) for name, names in self.dims.items()}}

    def drawn(
        self, draw: Callable[[Collection[str] | None], dict[str, np.ndarray]], sites: Collection[str] | None, seed: int
    ) -> dict[str, np.ndarray]:
        """Draws of the model's sites with those of what it has integrated out; see `data_models`."""
        args, _ = self.call.arguments(self.call.arrays)
        return drawn_with_integrated(self.model, args, draw, sites, seed)


class AbstractFit(ABC):
    """A fitted model: draws, tables and a verdict."""

    @property
    @abstractmethod
    def subject(self) -> Subject:
        """What was fitted, with every unknown that there are draws of."""

    @abstractmethod
    def sample(self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Draws from the posterior of every latent and deterministic site, or of some.

        Args:
            n: Draws.
            seed: Seed of the draws.
            sites: Names of the sites wanted; all when left out.

        Returns:
            Site -> draws, shape (n, ...).

        Raises:
            ConfigurationError: an unknown site, or draws of all sites that would take gigabytes.
        """

    @abstractmethod
    def diagnose(self) -> Verdict:
        """Whether the result can be trusted, finding by finding."""

    @abstractmethod
    def to_inferencedata(
        self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None
    ) -> az.InferenceData:
        """The draws as ArviZ `InferenceData` with named axes."""

    @abstractmethod
    def save(self, folder: Path | str) -> Path:
        """Write everything to a folder, each file whole or absent; no pickle."""

    @abstractmethod
    def loo(
        self, *, unit: str | Sequence[str] | None = None, model: Callable[..., Any] | None = None, draws: int = 1000
    ) -> "PointwiseLoo":
        """Leave-one-out predictive densities, see `diagnostics.pointwise_loo`."""

    def posterior(
        self,
        probabilities: Sequence[float] = (0.05, 0.5, 0.95),
        *,
        n: int = 4000,
        seed: int = 0,
        sites: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """A table with one row per number: mean, standard deviation and quantiles.

        Args:
            probabilities: Which quantiles.
            n: Draws that the table rests on.
            seed: Their seed.
            sites: As for `sample`.

        Returns:
            Index: names with their labels, such as mu[GAPDH]; columns: site, mean, sd, then q5, q50, q95.
        """
        for probability in probabilities:
            check_probability(probability, field="probabilities")
        data = draws_dataset(
            {name: values[None] for name, values in self.sample(n, seed, sites=sites).items()},
            coords=self.subject.coords,
            dims=self.subject.named_dims(),
        )
        return posterior_table(data, probabilities)


def posterior_table(data: Any, probabilities: Sequence[float]) -> pd.DataFrame:
    """The table of `AbstractFit.posterior` from a dataset with dims (chain, draw, ...)."""
    from modelwright.bayesian.diagnostics.groups import parameter_labels

    frames = []
    for name, variable in data.data_vars.items():
        values = variable.values.reshape(-1, *variable.shape[2:]).astype(np.float64)
        flat = values.reshape(len(values), -1)
        columns: dict[str, Any] = {"site": str(name), "mean": flat.mean(0), "sd": flat.std(0, ddof=1)}
        for probability, row in zip(probabilities, np.quantile(flat, probabilities, axis=0), strict=True):
            columns[f"q{100 * probability:g}"] = row
        frames.append(pd.DataFrame(columns, index=parameter_labels(variable)))
    if not frames:
        raise ConfigurationError("the model has nothing to sample", expected="at least one latent site")
    return pd.concat(frames)
