"""The base of every Bayesian model of the catalog: trained by NUTS, answering from a trace.

    class Calls(BaseBayesianModel):
        def load_data(self, **options): ...                                  # -> data
        def fit(self, data, *, settings, progress, **parameters): ...        # -> TrainingOutcome
        def ask(self, params, run): ...                                      # -> predictions and credible_intervals

`modelwright new model ID` writes one that trains as it stands.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.catalog.catalog_model import AbstractCatalogModel, Scored
from modelwright.catalog.parameters import InferenceParameter
from modelwright.catalog.plans import TrainingPlan
from modelwright.catalog.updating import NewData
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import TrainingOutcome
from modelwright.core.seeds import LARGEST_SEED

__all__ = ["BaseBayesianModel", "NewData", "Scored", "TrainingPlan", "TrainingSettings"]

TrainingSettings = NutsSettings
"""How long and how carefully to sample (draws, tune, chains, target_accept, max_tree_depth, seed), handed to the
samplers as it is."""


class BaseBayesianModel(AbstractCatalogModel[NutsSettings]):
    """A model whose training draws from a posterior.

    `train` takes draws, tune, chains, target_accept, max_tree_depth and seed, with the defaults of config.yaml
    (`training`: default_iterations, warmup, chains, target_accept), depth 10 and seed 42.
    """

    @abstractmethod
    def fit(
        self, data: Any, *, settings: NutsSettings, progress: ProgressCallback, **parameters: Any
    ) -> TrainingOutcome:
        """Sample the posterior and judge it; see `AbstractCatalogModel.fit`."""

    def get_latest_trace(self) -> Path | None:
        """The trace file of the newest complete run (NetCDF), or None; `trained_run().trace()` reads it."""
        latest = self._latest()
        return latest.paths.trace if latest is not None and latest.has_trace else None

    def settings_parameters(self) -> tuple[InferenceParameter, ...]:
        """Draws, tune, chains, target_accept, max_tree_depth and seed."""
        training = self.metadata.training
        return (
            InferenceParameter(
                name="draws",
                type="integer",
                label="Draws per chain",
                default=training.default_iterations,
                min_value=1,
                max_value=10_000_000,
                help_text="Posterior draws kept per chain",
            ),
            InferenceParameter(
                name="tune",
                type="integer",
                label="Warm-up per chain",
                default=training.warmup,
                min_value=1,
                max_value=10_000_000,
                help_text="Steps per chain that tune the sampler and are not kept",
            ),
            InferenceParameter(
                name="chains",
                type="integer",
                default=training.chains,
                min_value=1,
                max_value=1024,
                help_text="Independent chains; comparing them is how trouble shows",
            ),
            InferenceParameter(
                name="target_accept",
                type="float",
                label="Target acceptance",
                default=training.target_accept,
                min_value=0.1,
                max_value=0.999,
                help_text="Closer to 1 takes smaller, safer and slower steps",
            ),
            InferenceParameter(
                name="max_tree_depth",
                type="integer",
                label="Largest tree depth",
                default=10,
                min_value=1,
                max_value=20,
                help_text="A trajectory has at most 2 to this power steps; each one more may double the time",
            ),
            InferenceParameter(
                name="seed",
                type="integer",
                default=42,
                min_value=0,
                max_value=LARGEST_SEED,
                help_text="The same seed, data and versions give the same draws",
            ),
        )

    def make_settings(self, values: Mapping[str, Any]) -> NutsSettings:
        """The sampler's settings from checked values."""
        return NutsSettings(**values)

    def seeds_of(self, settings: NutsSettings) -> dict[str, int]:
        """The one seed."""
        return {"seed": settings.seed}
