"""Calibration: right samplers pass as often as they should, wrong ones fail, and the benchmark can tell."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.diagnostics.calibration import (
    _band,
    calibration_table,
    calibration_verdict,
    rank_of_truth,
    thin,
    uniformity,
)
from modelwright.bayesian.diagnostics.calibration_figures import calibration_picture
from modelwright.core.errors import DataError

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "calibration.py"


def normal_ranks(*, shift=0.0, scale=1.0, replications=300, seed=1):
    """Calibration of a normal mean whose exact posterior is known, drawn from with a fault of choice."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=replications)
    data = truth[:, None] + rng.normal(size=(replications, 3))
    mean, sd = data.sum(axis=1) / 4, 0.5
    draws = mean[:, None] + shift * sd + scale * sd * rng.normal(size=(replications, 99))
    return rank_of_truth(truth, draws, rng)


def test_an_exact_sampler_is_good():
    tested = [uniformity("mu", normal_ranks(), 99)]
    verdict = calibration_verdict(tested)
    assert str(verdict.grade) == "good"
    assert tested[0].inside_band
    assert calibration_table(tested).rows[0][-1] == "good"


@pytest.mark.parametrize("fault", [{"shift": 0.5}, {"scale": 0.6}, {"scale": 1.7}], ids=["biased", "narrow", "wide"])
def test_wrong_samplers_are_problems(fault):
    tested = uniformity("mu", normal_ranks(**fault), 99)
    assert not tested.inside_band
    (finding,) = calibration_verdict([tested]).findings
    assert str(finding.grade) == "problem"
    assert finding.sentence.startswith("the ranks of mu are not uniform: chi-square p ")
    assert "a slope is a bias" in finding.advice


def test_the_band_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    outside = [not uniformity("x", rng.integers(0, 100, size=150), 99).inside_band for _ in range(1000)]
    # Binomial: 5 % of 1000 within 4 standard errors; discreteness can only make the band a little wider
    assert 0.05 - 4 * np.sqrt(0.05 * 0.95 / 1000) < np.mean(outside) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)


def test_p_values_are_uniform_when_ranks_are():
    rng = np.random.default_rng(3)
    tested = [uniformity("x", rng.integers(0, 100, size=200), 99) for _ in range(400)]
    for values in ([t.chi_square_p for t in tested], [t.ecdf_p for t in tested]):
        assert stats.kstest(values, "uniform").pvalue > 1e-3  # seeded


def test_the_chi_square_is_that_of_scipy():
    ranks = np.random.default_rng(4).integers(0, 100, size=200)
    expected = stats.chisquare(np.histogram(ranks, bins=20, range=(0, 100))[0]).pvalue
    assert uniformity("x", ranks, 99).chi_square_p == pytest.approx(expected, rel=1e-10)  # the same formula


def test_the_band_contains_every_pointwise_band_and_closes_at_the_end():
    low, high, _ = _band(100, 9)
    share = (np.arange(10) + 1) / 10
    assert np.all(low <= stats.binom.ppf(0.025, 100, share))
    assert np.all(high >= stats.binom.ppf(0.975, 100, share))
    assert (low[-1], high[-1]) == (100, 100)


def test_ties_are_broken_evenly():
    rng = np.random.default_rng(5)
    ranks = rank_of_truth(np.zeros(2000), np.zeros((2000, 4)), rng)
    assert stats.chisquare(np.bincount(ranks, minlength=5)).pvalue > 1e-3  # seeded


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_not_left_out(value):
    truth, draws = np.zeros(3), np.ones((3, 5))
    draws[1, 2] = value
    with pytest.raises(DataError, match="replication 1: a true value or a draw is not finite"):
        rank_of_truth(truth, draws, np.random.default_rng(0))


def test_ranks_are_checked():
    with pytest.raises(DataError, match="mu: not ranks; expected whole numbers from 0 to 9"):
        uniformity("mu", np.array([3, 10]), 9)
    with pytest.raises(DataError, match="keep: too few draws to thin; expected from 1 to 5, got 6"):
        thin(np.arange(5), 6)


def test_few_ranks_still_get_a_verdict():
    tested = uniformity("mu", np.array([1, 5, 8]), 9)
    assert np.isnan(tested.chi_square_p)
    assert str(calibration_verdict([tested]).grade) == "good"


def test_the_picture_tells_inside_from_outside():
    tested = [uniformity("mu", normal_ranks(), 99), uniformity("phi", normal_ranks(shift=0.5), 99)]
    picture = calibration_picture(tested)
    assert b"OUTSIDE the 95 % band" in picture.content
    assert b"inside the 95 % band" in picture.content
    ElementTree.fromstring(picture.content)
    assert calibration_picture(tested) == picture


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--broken"]], ids=["right model", "wrong prior"])
def test_the_benchmark_passes_the_right_model_and_detects_a_wrong_prior(options):
    command = [sys.executable, str(BENCHMARK), "--replications", "60", "--draws", "1000", "--tune", "500", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("| problem |" in done.stdout) is bool(options)


@pytest.mark.slow
def test_the_benchmark_passes_named_hyperpriors_and_a_prior_of_the_shape():
    priors = ["--shape-prior", "gamma(2, 0.5)", "--alpha-prior", "log_normal(0, 0.7)"]
    priors += ["--phi-prior", "half_student_t(4, 2)"]
    command = [sys.executable, str(BENCHMARK), "--replications", "60", "--draws", "1000", "--tune", "500", *priors]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shape ~ gamma(2, 0.5), alpha ~ log_normal(0, 0.7), phi ~ half_student_t(4, 2)" in done.stdout
