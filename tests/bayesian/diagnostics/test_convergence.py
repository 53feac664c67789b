"""The convergence verdict: limits exactly where they are said to be, every parameter seen, absent is never good."""

import json

import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.diagnostics import findings, thresholds
from modelwright.bayesian.diagnostics.convergence import (
    assess_convergence,
    convergence_section,
    convergence_tables,
    convergence_verdict,
    get_model_diagnostics,
)
from modelwright.core.errors import DataError
from modelwright.core.files import json_text
from modelwright.core.verdict import Grade

DRAWS = findings.Draws(4, 500)
GOOD, WARNING, PROBLEM, UNKNOWN = Grade.GOOD, Grade.WARNING, Grade.PROBLEM, Grade.UNKNOWN


def trace_of(theta=None, *, mu=None, stats=True, chains=4, draws=500, seed=1, **changed):
    """A trace of two healthy variables; keywords replace sampler statistics, None leaves one out."""
    rng = np.random.default_rng(seed)
    shape = (chains, draws)
    theta = rng.normal(size=(*shape, 60)) if theta is None else theta
    mu = rng.normal(size=shape) if mu is None else mu
    posterior = xr.Dataset(
        {"mu": (("chain", "draw"), mu), "theta": (("chain", "draw", "entity"), theta)},
        coords={"entity": [f"user_{i:04d}" for i in range(theta.shape[2])]},
    )
    groups = {"posterior": posterior}
    if stats:
        sampler = {
            "diverging": np.zeros(shape, bool),
            "energy": rng.normal(size=shape),
            "reached_max_tree_depth": np.zeros(shape, bool),
        }
        sampler = {name: value for name, value in {**sampler, **changed}.items() if value is not None}
        groups["sample_stats"] = xr.Dataset({name: (("chain", "draw"), value) for name, value in sampler.items()})
    return xr.DataTree.from_dict(groups)


def flags(count, shape=(4, 500)):
    values = np.zeros(shape, bool)
    values.ravel()[:count] = True
    return values


@pytest.mark.parametrize(
    ("threshold", "value", "grade"),
    [
        (thresholds.R_HAT, np.nextafter(1.01, 0), GOOD),
        (thresholds.R_HAT, 1.01, WARNING),
        (thresholds.R_HAT, np.nextafter(1.05, 0), WARNING),
        (thresholds.R_HAT, 1.05, PROBLEM),
        (thresholds.R_HAT, np.inf, PROBLEM),
        (thresholds.ESS, 400, GOOD),
        (thresholds.ESS, np.nextafter(400, 0), WARNING),
        (thresholds.ESS, 100, WARNING),
        (thresholds.ESS, np.nextafter(100, 0), PROBLEM),
        (thresholds.DIVERGENCES, 0, GOOD),
        (thresholds.DIVERGENCES, 1, WARNING),
        (thresholds.DIVERGENCES, 10, WARNING),
        (thresholds.DIVERGENCES, 11, PROBLEM),
        (thresholds.SATURATION, 0.0, GOOD),
        (thresholds.SATURATION, 0.0001, WARNING),
        (thresholds.SATURATION, 0.05, WARNING),
        (thresholds.SATURATION, np.nextafter(0.05, 1), PROBLEM),
        (thresholds.BFMI, 0.3, GOOD),
        (thresholds.BFMI, np.nextafter(0.3, 0), WARNING),
        (thresholds.BFMI, 0.2, WARNING),
        (thresholds.BFMI, np.nextafter(0.2, 0), PROBLEM),
        (thresholds.NON_FINITE, 0, GOOD),
        (thresholds.NON_FINITE, 1, PROBLEM),
        (thresholds.R_HAT, None, UNKNOWN),
        (thresholds.ESS, np.nan, UNKNOWN),
    ],
)
def test_limits_are_exactly_where_they_are_said_to_be(threshold, value, grade):
    assert threshold.grade(value) is grade


def test_a_healthy_trace_is_good_and_converged():
    found = get_model_diagnostics(trace_of())
    assert found["verdict"]["sentence"] == "good: every check passed"
    assert found["converged"] is True
    assert set(found["grades"].values()) == {"good"}
    assert found["advice"] == {}
    assert (found["chains"], found["draws"]) == (4, 500)
    json.loads(json_text(found))


@pytest.mark.parametrize(
    ("count", "grade", "converged"), [(0, GOOD, True), (1, WARNING, True), (10, WARNING, True), (11, PROBLEM, False)]
)
def test_divergences_in_a_trace(count, grade, converged):
    found = get_model_diagnostics(trace_of(diverging=flags(count)))
    assert found["divergences"] == count
    assert found["grades"]["divergences"] == grade
    assert found["converged"] is converged


@pytest.mark.parametrize(("count", "grade"), [(0, GOOD), (1, WARNING), (100, WARNING), (101, PROBLEM)])
@pytest.mark.parametrize("name", ["reached_max_tree_depth", "reached_max_treedepth", "maxdepth_reached"])
def test_tree_depth_in_a_trace_of_any_engine(count, grade, name):
    found = get_model_diagnostics(trace_of(**{"reached_max_tree_depth": None, name: flags(count)}))
    assert found["tree_depth_saturation"] == count / 2000  # 100 of 2000 draws are exactly 5 %
    assert found["grades"]["tree_depth_saturation"] == grade


def test_one_bad_rate_among_many_is_found_and_named():
    theta = np.random.default_rng(2).normal(size=(4, 500, 60))
    theta[1, :, 42] += 3.0
    assessment = assess_convergence(trace_of(theta))
    assert assessment.worst["r_hat_max"] == assessment.worst["ess_bulk_min"] == "theta[user_0042]"
    assert assessment.verdict.grade is PROBLEM
    assert not assessment.converged
    first = assessment.verdict.findings[0]
    assert first.sentence.startswith("the chains disagree on theta[user_0042]: R-hat 1.")
    assert first.advice == (
        "Tune longer and take more draws; if the chains still stay apart on theta[user_0042], the posterior may have "
        "several modes or be nearly flat: put a stronger prior on it or reparameterise."
    )
    worst = convergence_tables(assessment)[2]
    assert worst.title == "Worst of the other parameters"
    assert worst.rows[0][0] == "theta[user_0042]"
    assert len(worst.rows) == 10


def test_divergences_turn_the_advice_to_the_geometry():
    theta = np.random.default_rng(2).normal(size=(4, 500, 60))
    theta[1, :, 42] += 3.0
    advice = get_model_diagnostics(trace_of(theta, diverging=flags(20)))["advice"]
    assert "Reparameterise theta[user_0042]" in advice["r_hat_max"]
    assert "target_accept" in advice["divergences"]
    assert "stronger priors" in advice["divergences"]


def test_a_slow_chain_asks_for_as_many_draws_as_it_needs():
    found = findings.effective_size("bulk", 200.0, "phi", findings.Draws(4, 1000))
    assert found.grade is WARNING
    assert found.sentence == "means and medians of phi rest on only 200 independent draws of 4000"
    assert found.advice == "Take more draws: about 2000 per chain would give phi an ESS of 400."
    hopeless = findings.effective_size("tail", 7.0, "phi", findings.Draws(4, 1000))
    assert hopeless.grade is PROBLEM
    assert hopeless.advice.startswith("Reparameterise phi or put a stronger prior on it")


@pytest.mark.parametrize(
    ("finding", "sentence", "advice"),
    [
        (
            findings.divergences(1, DRAWS),
            "1 divergent transition in 2000 draws: the sampler could not follow the posterior everywhere",
            "Raise target_accept (0.95, then 0.99) and sample again; if divergences stay, reparameterise.",
        ),
        (
            findings.divergences(None, DRAWS),
            "divergences are unknown: the trace stores none",
            "Store `diverging` while sampling.",
        ),
        (
            findings.energy(None, None),
            "E-BFMI is unknown: the energies are not stored",
            "Store `energy` while sampling.",
        ),
        (
            findings.r_hat(None, None, findings.Draws(1, 500), troubled=False),
            "R-hat is unknown: one chain cannot disagree with itself",
            "Sample at least 4 chains.",
        ),
        (
            findings.effective_size("bulk", None, None, findings.Draws(4, 3)),
            "ESS is unknown: 3 draws per chain are too few",
            "Take more draws: 1000 per chain.",
        ),
        (
            findings.saturation(0.25, DRAWS),
            "500 of 2000 trajectories (25.0%) were cut short at the largest tree depth",
            "Raise max_tree_depth by one or two; if trajectories stay long, tune longer, reparameterise or put "
            "stronger priors on parameters that the data leave open.",
        ),
    ],
)
def test_what_people_read(finding, sentence, advice):
    assert finding.sentence == sentence
    assert finding.advice == advice


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"diverging": None}, "divergences"),
        ({"energy": None}, "bfmi_min"),
        ({"reached_max_tree_depth": None}, "tree_depth_saturation"),
    ],
)
def test_an_absent_statistic_is_unknown_and_never_good(changed, name):
    found = get_model_diagnostics(trace_of(**changed))
    assert found[name] is None
    assert found["grades"][name] == "unknown"
    assert found["verdict"]["grade"] == "unknown"
    assert found["converged"] is (name != "divergences")  # E-BFMI and tree depth alone do not decide


def test_without_sampler_statistics_nothing_is_converged():
    found = get_model_diagnostics(trace_of(stats=False))
    assert found["verdict"]["grade"] == "unknown"
    assert found["converged"] is False


def test_one_chain_has_no_r_hat():
    found = get_model_diagnostics(trace_of(chains=1, draws=2000))
    assert found["r_hat_max"] is None
    assert found["grades"]["r_hat_max"] == "unknown"
    assert found["grades"]["ess_bulk_min"] == "good"
    assert found["converged"] is False


@pytest.mark.parametrize("energy", [np.full((4, 500), np.nan), np.ones((4, 500))])
def test_energies_that_are_no_use_are_unknown(energy):
    energies = np.random.default_rng(3).normal(size=(4, 500))
    energies[2] = energy[2]
    found = get_model_diagnostics(trace_of(energy=energies))
    assert found["grades"]["bfmi_min"] == "unknown"
    assert "chain 2" in found["verdict"]["findings"][5]["sentence"]


def test_sticky_energies_are_a_problem():
    energy = np.cumsum(np.random.default_rng(4).normal(size=(4, 500)), axis=1)
    found = get_model_diagnostics(trace_of(energy=energy))
    assert found["grades"]["bfmi_min"] == "problem"
    assert found["converged"] is False


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_draws_that_are_not_finite_are_a_problem(value):
    theta = np.random.default_rng(5).normal(size=(4, 500, 60))
    theta[3, 10:13, 7] = value
    found = get_model_diagnostics(trace_of(theta))
    assert found["non_finite"] == 3
    assert found["worst"]["non_finite"] == "theta[user_0007]"
    assert found["grades"]["non_finite"] == "problem"
    assert found["converged"] is False
    assert found["grades"]["r_hat_max"] == "good"  # of the others


def test_chains_stuck_at_different_points_are_a_problem():
    mu = np.broadcast_to(np.arange(4.0)[:, None], (4, 500))
    found = get_model_diagnostics(trace_of(mu=mu))
    assert found["r_hat_max"] > 1e6
    assert found["worst"]["r_hat_max"] == "mu"
    assert found["grades"]["r_hat_max"] == "problem"
    assert found["verdict"]["findings"][0]["sentence"] == "the chains disagree on mu: R-hat above 100"


def test_a_parameter_that_never_moves_is_named_and_unknown():
    theta = np.random.default_rng(6).normal(size=(4, 500, 60))
    theta[:, :, 3] = 1.0
    found = get_model_diagnostics(trace_of(theta))
    assert found["constant_parameters"] == 1
    assert found["grades"]["constant_parameters"] == "unknown"
    assert "theta[user_0003]" in found["advice"]["constant_parameters"]
    assert found["grades"]["r_hat_max"] == "good"
    assert found["converged"] is True
    (row,) = (row for row in convergence_tables(trace_of(theta[:, :, 3:4]))[2].rows if row[0] == "theta[user_0000]")
    assert row[-3:] == (None, None, None)  # R-hat and ESS of what does not move say nothing
    stuck = get_model_diagnostics(trace_of(np.ones((4, 500, 2)), mu=np.ones((4, 500))))
    assert stuck["grades"]["r_hat_max"] == stuck["grades"]["ess_bulk_min"] == "unknown"
    assert stuck["converged"] is False


def test_a_parameter_that_moves_only_where_no_statistic_looks_is_unknown():
    mu = np.ones((4, 501))
    mu[:, 250] = 2.0  # the middle draw belongs to no half chain
    found = get_model_diagnostics(trace_of(mu=mu, draws=501, diverging=np.zeros((4, 501), bool)))
    assert found["r_hat_max"] is None
    assert "R-hat of mu is unknown" in found["verdict"]["findings"][0]["sentence"]


def test_three_draws_say_nothing():
    found = get_model_diagnostics(trace_of(draws=3))
    assert {found["grades"][name] for name in ("r_hat_max", "ess_bulk_min", "ess_tail_min")} == {"unknown"}


def test_a_trace_without_posterior_is_refused():
    with pytest.raises(DataError, match="the trace has no group 'posterior'"):
        convergence_verdict(xr.DataTree.from_dict({"prior": xr.Dataset({"mu": (("chain", "draw"), np.ones((1, 1)))})}))


def test_the_section_reads_verdict_first_and_then_what_to_do():
    theta = np.random.default_rng(7).normal(size=(4, 500, 60))
    theta[1, :, 42] += 3.0
    section = convergence_section(trace_of(theta))
    assert section.title == "Convergence"
    assert section.text[0].startswith("Convergence is problem: the chains disagree on theta[user_0042]")
    assert any("stronger prior" in line for line in section.text[1:])
    assert [table.title for table in section.tables] == [
        "Convergence checks",
        "Single parameters",
        "Worst of the other parameters",
    ]
    assert [picture.name for picture in section.pictures] == ["trace_plots", "rank_plots"]


@pytest.mark.slow
def test_neals_funnel_sampled_by_nuts_is_not_trusted():
    import numpyro
    import numpyro.distributions as dist

    from modelwright.bayesian.inference.samplers import NutsSettings, sample_numpyro_model

    def funnel():
        log_scale = numpyro.sample("log_scale", dist.Normal(0.0, 3.0))
        with numpyro.plate("k", 9):
            numpyro.sample("x", dist.Normal(0.0, np.e ** (log_scale / 2)))

    trace = sample_numpyro_model(funnel, NutsSettings(draws=300, tune=300, chains=4, target_accept=0.8, seed=1))
    found = get_model_diagnostics(trace)
    assert found["verdict"]["grade"] == "problem"
    assert not found["converged"]
