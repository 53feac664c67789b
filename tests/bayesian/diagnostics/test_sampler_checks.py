"""The verdict on independent proposals: what does not apply is listed, never graded; what applies is never assumed."""

import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.diagnostics import findings, thresholds
from modelwright.bayesian.diagnostics.convergence import (
    assess_convergence,
    convergence_section,
    convergence_tables,
    get_model_diagnostics,
)
from modelwright.core.verdict import Grade
from modelwright.runs.trace_file import read_trace, write_trace

OF_NUTS = {"divergences", "tree_depth_saturation", "bfmi_min"}


def collapsed(acceptance=0.9, *, method="independence_metropolis", stats=True, **attrs):
    """A healthy trace of the collapsed engine; keywords are attributes of the posterior, None leaves one out."""
    rng = np.random.default_rng(1)
    attrs = {"engine": "collapsed", "method": method, "k_hat": 0.1, **attrs}
    posterior = xr.Dataset(
        {"mu": (("chain", "draw"), rng.normal(size=(4, 500)))},
        attrs={name: value for name, value in attrs.items() if value is not None},
    )
    groups = {"posterior": posterior}
    if stats:
        rates = np.broadcast_to(np.reshape(acceptance, (-1, 1)), (4, 500))
        groups["sample_stats"] = xr.Dataset({"acceptance_rate": (("chain", "draw"), rates)})
    return xr.DataTree.from_dict(groups)


def test_checks_of_nuts_are_listed_as_not_applicable_and_nothing_is_unknown():
    found = get_model_diagnostics(collapsed())
    assert found["verdict"]["sentence"] == "good: every check passed"
    assert found["converged"] is True
    assert {name for name, grade in found["grades"].items() if grade == "not applicable"} == OF_NUTS
    assert all(found[name] is None for name in OF_NUTS)
    assert OF_NUTS.isdisjoint(finding["name"] for finding in found["verdict"]["findings"])
    assert (found["proposal_k_hat"], found["acceptance_rate_min"]) == (0.1, pytest.approx(0.9))
    assert found["sampler"] == {"engine": "collapsed", "method": "independence_metropolis", "reason": ""}


def test_the_report_lists_what_does_not_apply_and_why():
    section = convergence_section(collapsed(reason="k-hat 0.10 of 2,000 weights"))
    rows = {row[0]: row for row in section.tables[0].rows}
    assert rows["divergences"][1:3] == (None, "not applicable")
    assert rows["divergences"][4] == "these draws were proposed independently, without trajectories"
    assert rows["k-hat of the proposal"][2:4] == ("good", "good up to 0.7, problem above 0.7")
    assert section.text[1] == (
        "The rates were integrated out and the population's parameters proposed independently: "
        "k-hat 0.10 of 2,000 weights."
    )


@pytest.mark.parametrize(
    ("k_hat", "grade", "converged"),
    [(0.7, "good", True), (np.nextafter(0.7, 1), "problem", False), (np.inf, "problem", False)],
)
def test_k_hat_decides_at_seven_tenths(k_hat, grade, converged):
    found = get_model_diagnostics(collapsed(k_hat=k_hat))
    assert found["grades"]["proposal_k_hat"] == grade
    assert found["converged"] is converged
    if grade == "problem":
        assert found["advice"]["proposal_k_hat"].startswith("Do not rely on these draws: sample with NUTS")


def test_one_chain_that_accepts_little_is_a_warning_with_advice():
    found = get_model_diagnostics(collapsed([0.9, 0.9, 0.1, 0.9]))
    assert found["grades"]["acceptance_rate_min"] == "warning"
    assert found["worst"]["acceptance_rate_min"] == "chain 2"
    assert found["verdict"]["sentence"] == "warning: only 10.0% of the proposals were accepted in chain 2"
    assert "take more draws (about 1500 per chain)" in found["advice"]["acceptance_rate_min"]
    assert found["converged"] is True


@pytest.mark.parametrize(
    ("value", "grade"), [(0.3, Grade.GOOD), (np.nextafter(0.3, 0), Grade.WARNING), (1e-9, Grade.WARNING)]
)
def test_acceptance_limits_are_where_they_are_said_to_be(value, grade):
    assert thresholds.ACCEPTANCE.grade(value) is grade
    assert thresholds.ACCEPTANCE.grade(0.0) is Grade.PROBLEM


@pytest.mark.parametrize(
    ("trace", "name", "sentence"),
    [
        (collapsed(k_hat=None), "proposal_k_hat", "the trace stores no k-hat"),
        (collapsed(k_hat=np.nan), "proposal_k_hat", "the trace stores no k-hat"),
        (collapsed(stats=False), "acceptance_rate_min", "acceptance is unknown: the rates are not stored"),
        (collapsed([0.9, np.nan, 0.9, 0.9]), "acceptance_rate_min", "the rates of chain 1 are not finite"),
    ],
)
def test_what_applies_and_is_absent_is_unknown(trace, name, sentence):
    found = get_model_diagnostics(trace)
    assert found["grades"][name] == "unknown"
    assert found["verdict"]["grade"] == "unknown"
    assert sentence in found["verdict"]["sentence"]
    assert found["converged"] is (name != "proposal_k_hat")


@pytest.mark.parametrize("method", ["nuts", None, "something new"])
def test_any_other_method_is_held_to_the_checks_of_nuts(method):
    found = get_model_diagnostics(collapsed(method=method))
    assert {name for name, grade in found["grades"].items() if grade == "unknown"} == OF_NUTS
    assert found["converged"] is False
    assert "proposal_k_hat" not in found["grades"]


def test_falling_back_on_nuts_says_why():
    section = convergence_section(collapsed(method="nuts", reason="k-hat 0.83 of the proposal is above 0.7"))
    assert section.text[1] == (
        "The rates were integrated out and the population's parameters sampled by NUTS: "
        "k-hat 0.83 of the proposal is above 0.7."
    )
    assert "not applicable" not in {row[2] for row in section.tables[0].rows}


def test_other_engines_are_not_exempt_whatever_their_method_is_called():
    found = get_model_diagnostics(collapsed(engine="numpyro"))
    assert {name for name, grade in found["grades"].items() if grade == "unknown"} == OF_NUTS


def test_disagreeing_independent_chains_are_not_told_to_tune():
    advice = findings.r_hat(1.2, "mu", findings.Draws(4, 500), troubled=False, tuned=False).advice
    assert advice.startswith("Take more draws; if the chains still stay apart on mu")


def test_the_verdict_survives_the_disk(tmp_path):
    import arviz as az

    trace = collapsed(k_hat=0.65, reason="")
    path = tmp_path / "trace.nc"
    write_trace(path, az.InferenceData(**{name: node.to_dataset() for name, node in trace.children.items()}))
    assessment = assess_convergence(read_trace(path, None))
    assert assessment.sampler.is_independent
    assert assessment.sampler.k_hat == 0.65
    assert [row[2] for row in convergence_tables(assessment)[0].rows].count("not applicable") == 3
