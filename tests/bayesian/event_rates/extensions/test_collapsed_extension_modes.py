"""Several explanations of the same data: the extended model finds them all, as the base model does."""

from typing import Any

import numpy as np
import pytest

from modelwright.bayesian.event_rates.collapsed_posterior import sample_hyperparameters
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import collapsed_sampler
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import EXACT
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_modes import Mode, density_by_modes, modes_of, nearest_mode
from modelwright.bayesian.event_rates.extensions.collapsed_numpyro import STANDARD
from modelwright.bayesian.event_rates.extensions.collapsed_trace import sample_collapsed_extended
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.bayesian.inference import samplers
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.quiet_arviz import az
from modelwright.data.events import EventCounts

WITHOUT_EFFECT = Extensions.create(chosen="covariates", covariates="size", coefficient_prior_sd=1e-6)
"""Its prior keeps the coefficient at zero, so that the posterior of the population is the base model's."""

ONE_ONLY = "the chains start at the one of largest mass only"


def one_window_each(n: int = 40, *, mean: float = 25.0) -> EventCounts:
    """Counts that scatter about one mean; rates that differ explain them as well."""
    rng = np.random.default_rng(1)
    count = rng.poisson(mean * rng.gamma(0.3, 1 / 0.3, n))
    labels = [f"e{k:03d}" for k in range(n)]
    return EventCounts.from_arrays(entity=labels, count=count, covariates={"size": np.arange(n) % 2 * 1.0})


def density_and_design(data: EventCounts) -> tuple[CollapsedExtended, Design]:
    design = design_of(data, WITHOUT_EFFECT)
    return CollapsedExtended(coordinates_of(design, ModelConfig(), WITHOUT_EFFECT)), design


def test_both_explanations_are_found_with_points_of_their_own() -> None:
    density, _ = density_and_design(one_window_each())
    modes = modes_of(density)
    assert len(modes) == 2
    alpha = [np.exp(mode.point[density.coordinates.places["alpha"]][0]) for mode in modes]
    assert alpha[1] < 0.1 < alpha[0]  # counts that scatter about equal rates; rates that differ, which is less likely
    assert modes[0].log_mass > modes[1].log_mass
    points = np.stack([mode.point for mode in modes])
    assert nearest_mode(modes, points).tolist() == [0, 1]


@pytest.mark.slow
def test_each_explanation_is_weighed_by_its_own_anchor() -> None:
    """Against finer points laid at each; with thousands of events another explanation's lie beside the integrand."""
    density, _ = density_and_design(one_window_each(mean=2500.0))
    points = np.log([[287.5, 0.0007, 0.772, 1.0], [301.2, 1.13, 0.066, 1.0]])  # about where two of the modes are
    modes = [Mode(point, np.eye(4), 0.0, density.anchored_at(point)) for point in points]
    truth = [float(CollapsedExtended(density.coordinates, point, precision=EXACT)(point[None])[0]) for point in points]
    foreign = np.array([mode.density(points) for mode in modes])
    assert np.abs(foreign - truth).max() > 100.0
    # relative errors of 2e-7 in each of 40 integrals
    assert density_by_modes(modes, points) == pytest.approx(truth, abs=1e-5)


def test_nuts_says_that_it_starts_at_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    density, _ = density_and_design(one_window_each())
    mode = Mode(np.zeros(4), np.eye(4), 0.0, density)
    other = Mode(np.ones(4), np.eye(4), -1.0, density)

    def chains(model: Any, settings: Any, **ignored: Any) -> az.InferenceData:
        return az.from_dict(posterior={STANDARD: np.zeros((1, 2, 4))}, sample_stats={"diverging": np.zeros((1, 2))})

    monkeypatch.setattr(samplers, "sample_numpyro_model", chains)
    for modes, said in (((mode,), "as asked"), ((mode, other), f"as asked; 2 modes were found, and {ONE_ONLY}")):
        monkeypatch.setattr(collapsed_sampler, "modes_of", lambda density, progress, modes=modes: modes)
        assert collapsed_sampler.sample_collapsed(density, NutsSettings(), method="nuts").reason == said


@pytest.mark.slow
def test_the_explanations_have_their_shares_of_the_draws() -> None:
    data = one_window_each()
    _, design = density_and_design(data)
    settings = NutsSettings(draws=1000, chains=4, seed=2)
    ours = sample_collapsed_extended(design, ModelConfig(), WITHOUT_EFFECT, settings=settings).posterior
    assert "2 modes" in ours.attrs["reason"]
    base = sample_hyperparameters(statistics_of(data), ModelConfig(n_samples=1000, n_chains=4))
    share: list[Any] = [(values < 0.1).astype(float) for values in (ours["alpha"].to_numpy(), base.values["alpha"])]
    error = np.hypot(*(part.std() / np.sqrt(float(az.ess(part, method="mean"))) for part in share))
    assert 0.01 < share[1].mean() < 0.3
    assert abs(share[0].mean() - share[1].mean()) < 4 * error
    # each entity's rate follows its own draw's explanation: near its count where rates differ, near the mean otherwise
    differ = share[0].astype(bool)
    largest = int(data.count.argmax())
    theta = ours["theta"].to_numpy()[..., largest]
    assert theta[differ].mean() > 3.0 * theta[~differ].mean()
