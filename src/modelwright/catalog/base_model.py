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
from modelwright.catalog.settings_forms import nuts_settings_form
from modelwright.catalog.updating import NewData
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import TrainingOutcome

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
        return nuts_settings_form(self.metadata.training)

    def make_settings(self, values: Mapping[str, Any]) -> NutsSettings:
        """The sampler's settings from checked values."""
        return NutsSettings(**values)

    def seeds_of(self, settings: NutsSettings) -> dict[str, int]:
        """The one seed."""
        return {"seed": settings.seed}
