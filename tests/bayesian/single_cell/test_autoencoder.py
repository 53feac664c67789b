"""The ready-made autoencoder: what it is made of, and that it is better on unseen cells than a model without z."""

from typing import Any

import numpy as np
import pytest

from modelwright.bayesian.builders import GuideBuilder, LogNormalSpec, ModelBuilder
from modelwright.bayesian.builders.readiness import RATE_OF_NETWORKS
from modelwright.bayesian.components import TOTAL_COUNT, NegativeBinomialLikelihood, observe
from modelwright.bayesian.inference import svi
from modelwright.bayesian.inference.svi_settings import SviSettings
from modelwright.bayesian.single_cell.autoencoder import count_autoencoder
from modelwright.bayesian.single_cell.count_models import default_guide


def cells_of_kinds(n_cells: int, n_genes: int, seed: int = 0) -> Any:
    """Counts of three kinds of cells, and the kind of each."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(n_genes, 0.5), 3)
    kind = rng.integers(3, size=n_cells)
    mean = shares[kind] * rng.uniform(100.0, 300.0, (n_cells, 1))
    return rng.negative_binomial(3.0, 3.0 / (3.0 + mean)), kind


def test_its_sites_are_those_of_its_options() -> None:
    counts, _ = cells_of_kinds(12, 5)
    model = count_autoencoder(latent_dim=3, hidden_dims=(7, 4), gated=True, batch_covariate=True)
    group = model.groups["z"]
    assert (group.encoder.hidden_dims, group.decoder.hidden_dims) == ((7, 4), (4, 7))
    data = observe(counts, batch=[0, 1] * 6, statistics=[TOTAL_COUNT])
    shapes = {site.name: site.shape for site in model.sites(data)}
    assert shapes == {
        "r": (5,), "z": (12, 3), "share": (12, 5), "gate": (12, 5), "mu": (12, 5), "counts": (12, 5),
    }  # fmt: skip


def test_its_steps_are_those_of_networks_and_its_concentrations_begin_at_moments() -> None:
    counts, _ = cells_of_kinds(12, 5)
    model = count_autoencoder(latent_dim=2, hidden_dims=(4,))
    ready = model.made_ready(counts, default_guide(model), batch_size=4)
    assert ready.learning_rate == RATE_OF_NETWORKS
    assert "moments of the counts" in ready.notes[1]
    ratios = np.exp(ready.guide.starts["r"].location) / (counts.sum(axis=0) + 0.5)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)


@pytest.mark.slow
def test_on_unseen_cells_it_is_better_than_a_model_without_latent_vectors() -> None:
    counts, _ = cells_of_kinds(500, 30)
    train, held_out = counts[:400], counts[400:]
    model = count_autoencoder(latent_dim=2, hidden_dims=(32,))
    fit = svi(model, default_guide(model), train, steps=1500, batch_size=100)
    assert np.isfinite(fit.elbo).all()
    plain = (
        ModelBuilder()
        .add_param(LogNormalSpec("r", ("n_genes",), (0.0, 1.5)))
        .add_param(LogNormalSpec("level", ("n_genes",), (-4.0, 2.0)))
        .add_statistic("total", TOTAL_COUNT)
        .add_derived("mean", lambda level, total: level * total, ["level", "total"])
        .with_likelihood(NegativeBinomialLikelihood(mean="mean"))
        .build()
    )
    guide = GuideBuilder().for_model(plain).build()
    without = svi(plain, guide, train, steps=1000, settings=SviSettings(precision="float32"))
    bound, other = (each.held_out_bound(held_out, particles=20) for each in (fit, without))
    gain = bound.elbo - other.elbo
    assert gain.mean() > 10.0 * gain.std(ddof=1) / np.sqrt(len(gain))
    # the latent vectors are no memory of the training cells: unseen ones are explained nearly as well
    assert bound.mean > fit.held_out_bound(train, particles=20).mean - 5.0
