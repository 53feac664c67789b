"""Simulated counts have the distribution that their truth says: means, variances, zeros, and the thinning identity."""

import numpy as np
import pytest
from scipy import stats

from modelwright.core.errors import ConfigurationError
from modelwright.data.counts import simulate_counts

MODELS = ("nbdm", "zinb", "nbvcp", "zinbvcp")


@pytest.mark.parametrize("model", MODELS)
def test_moments_and_zeros_are_those_of_the_truth(model: str) -> None:
    made = simulate_counts(model, n_cells=4_000, n_genes=12, seed=7)
    x, truth = made.counts.matrix.toarray(), made.truth
    p, gate = truth.get("p_cell", np.full(4_000, truth["p"]))[:, None], truth.get("gate", np.zeros(12))
    # SciPy's p is the complement of NumPyro's.
    law = stats.nbinom(truth["r"], 1 - p)
    mean = (1 - gate) * law.mean()
    second = (1 - gate) * (law.var() + law.mean() ** 2)
    zeros = gate + (1 - gate) * law.pmf(0)
    for found, expected, spread in (
        (x, mean, np.sqrt(second - mean**2)),
        (x == 0, zeros, np.sqrt(zeros * (1 - zeros))),
    ):
        # Monte Carlo: 4 standard errors of the mean over cells, for each of twelve genes.
        error = np.sqrt((np.broadcast_to(spread, x.shape) ** 2).mean(axis=0) / 4_000)
        assert (np.abs(found.mean(axis=0) - np.broadcast_to(expected, x.shape).mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(truth["mu"], truth["r"] * truth["p"] / (1 - truth["p"]), rtol=1e-12)


def test_counts_of_one_gene_follow_the_negative_binomial() -> None:
    made = simulate_counts("nbvcp", n_cells=5_000, n_genes=1, seed=4, p=0.8, r=1.7, nu=0.3)
    values, edges = made.counts.matrix.toarray().ravel(), np.arange(9)
    caught = 0.8 * 0.3 / (1 - 0.8 * 0.7)
    assert made.truth["p_cell"][0] == pytest.approx(caught, rel=1e-12)  # same formula
    law = stats.nbinom(1.7, 1 - caught)
    expected = np.append(law.pmf(edges), law.sf(edges[-1])) * 5_000
    observed = np.append([(values == edge).sum() for edge in edges], (values > edges[-1]).sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("model", MODELS)
def test_a_seed_decides_everything_and_blocks_nothing(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = simulate_counts(model, n_cells=30, n_genes=8, seed=1)
    again, other = (simulate_counts(model, n_cells=30, n_genes=8, seed=seed) for seed in (1, 2))
    assert made.counts.fingerprint() == again.counts.fingerprint() != other.counts.fingerprint()
    assert set(made.truth) == {
        "p", "r", "mu", *(("gate",) if "zi" in model else ()), *(("nu", "p_cell") if "vcp" in model else ())
    }  # fmt: skip
    assert all(not value.flags.writeable for value in made.truth.values())
    # What is given leaves what is drawn as it was.
    assert (
        simulate_counts(model, n_cells=30, n_genes=8, seed=1, p=0.5).truth["mu"].tolist() == made.truth["mu"].tolist()
    )


def test_perfect_capture_leaves_the_distribution_unchanged() -> None:
    made = simulate_counts("nbvcp", n_cells=10, n_genes=4, seed=1, nu=1.0)
    np.testing.assert_allclose(made.truth["p_cell"], made.truth["p"], rtol=1e-14)  # same number by another formula


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "nbdn"}, "model: no such count model; got 'nbdn'; did you mean 'nbdm'? known: nbdm, zinb, nbvcp"),
        ({"gate": 0.1}, "gate: nbdm has no gate; leave it out, or choose another model"),
        ({"p": 1.0}, "p: out of range; expected numbers above 0 and below 1, got 1.0"),
        ({"mu": [1.0, 2.0]}, "mu: does not fit; expected a number or 100 of them, got (2,)"),
        ({"mu": 1.0, "r": 1.0}, "mu: mu and r say the same given p; expected mu or r"),
        ({"n_cells": 0}, "n_cells: not a number; expected a whole number of at least 1, got 0"),
        ({"model": "nbvcp", "nu": 1.1}, "nu: out of range; expected numbers above 0 and at most 1, got 1.1"),
    ],
)
def test_truths_that_cannot_be(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        simulate_counts(**options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)
