"""Comparison by PSIS-LOO: ArviZ's figures, exact leave-one-out where it is known, and refusals that name both runs."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.diagnostics.comparison import compare_scores, compare_traces
from modelwright.bayesian.diagnostics.loo import arviz, psis_loo, stacking_weights
from modelwright.core.errors import DataError
from modelwright.core.files import json_text

Y = np.random.default_rng(1).normal(0.3, 1.0, size=150)


def run(*, prior_sd=1.0, sd=1.0, y=Y, seed=2, draws=1000, keep=1, exposure=None):
    """The exact posterior of a normal mean with known sd, as a trace; `keep` thins the log likelihood."""
    precision = y.size / sd**2 + 1 / prior_sd**2
    mean = (y.sum() / sd**2) / precision
    mu = np.random.default_rng(seed).normal(mean, precision**-0.5, size=(4, draws))
    density = stats.norm.logpdf(y, mu[:, ::keep, None], sd)
    groups = {
        "posterior": xr.Dataset({"mu": (("chain", "draw"), mu)}, coords={"draw": np.arange(draws)}),
        "log_likelihood": xr.Dataset(
            {"y": (("chain", "draw", "obs"), density)}, coords={"draw": np.arange(0, draws, keep)}
        ),
        "observed_data": xr.Dataset({"y": ("obs", y)}),
    }
    if exposure is not None:
        groups["constant_data"] = xr.Dataset({"exposure": ("obs", exposure)})
    return xr.DataTree.from_dict(groups)


def exact_leave_one_out(*, prior_sd=1.0, sd=1.0, y=Y):
    """log p(y_i | all others) in closed form, shape (obs,)."""
    precision = (y.size - 1) / sd**2 + 1 / prior_sd**2
    mean = (y.sum() - y) / sd**2 / precision
    return stats.norm.logpdf(y, mean, np.sqrt(1 / precision + sd**2))


def test_a_single_run_gets_its_own_estimate_close_to_the_exact_one():
    result = compare_traces({"only": run()})
    (row,) = result.rows
    # Monte Carlo: pointwise errors of PSIS are about sd(log density) / sqrt(draws); their sum over 150 observations
    # moves together with the mean of the draws, bounded here by 0.1 nats
    assert row.elpd_loo == pytest.approx(exact_leave_one_out().sum(), abs=0.1)
    assert (row.rank, row.weight, row.elpd_diff, row.dse, row.k_hat_ok) == (1, 1.0, 0.0, 0.0, 150)
    assert row.p_loo == pytest.approx(1.0, abs=0.4)  # one free parameter; its own error is about 0.1
    assert "nothing to compare with" in result.conclusion
    assert result.warnings == ()


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # ArviZ's own use of pandas
def test_the_table_is_that_of_arviz():
    az = arviz()
    runs = {"right": run(), "too wide": run(sd=2.0, seed=3), "narrow": run(sd=0.8, seed=4)}
    result = compare_traces(runs)
    as_arviz = {
        name: az.InferenceData(
            posterior=tree["posterior"].to_dataset(), log_likelihood=tree["log_likelihood"].to_dataset()
        )
        for name, tree in runs.items()
    }
    table = az.compare(as_arviz, ic="loo", method="stacking", scale="log")
    assert [row.name for row in result.rows] == table.index.tolist()
    for row in result.rows:
        theirs = table.loc[row.name]
        for name in ("elpd_loo", "se", "p_loo", "elpd_diff", "dse"):
            assert getattr(row, name) == pytest.approx(theirs[name], rel=1e-8, abs=1e-8)  # the same formula
        assert row.weight == pytest.approx(theirs["weight"], abs=1e-3)  # two stopping rules of one optimiser


def test_stacking_weights_fulfil_the_conditions_of_their_optimum():
    rng = np.random.default_rng(5)
    pointwise = [rng.normal(-2, 1, size=2000), rng.normal(-2.1, 1, size=2000), rng.normal(-4, 1, size=2000)]
    weights = stacking_weights(pointwise)
    density = np.exp(np.stack(pointwise, axis=1))
    slope = (density / (density @ weights)[:, None]).mean(axis=0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    # Karush, Kuhn, Tucker: slope one where there is weight, at most one elsewhere; 1e-4 is the optimiser's tolerance
    assert np.all(slope <= 1 + 1e-4)
    assert np.all(np.abs(slope[weights > 1e-3] - 1) < 1e-4)


def test_an_impossible_observation_does_not_break_the_weights():
    better, worse = np.full(50, -1.0), np.full(50, -2.0)
    better[0] = worse[0] = -5000.0  # exp underflows to zero
    assert stacking_weights([better, worse]) == pytest.approx([1.0, 0.0], abs=1e-6)


def test_a_thinned_log_likelihood_is_used_with_the_draws_it_belongs_to():
    full, thinned = psis_loo(run(draws=2000)), psis_loo(run(draws=2000, keep=4))
    assert (full.n_draws, thinned.n_draws) == (8000, 2000)
    assert thinned.elpd == pytest.approx(full.elpd, abs=0.2)  # a quarter of the draws: twice the Monte Carlo error


def test_the_efficiency_is_that_of_the_draws_that_were_kept():
    slow = run(draws=2000, keep=4)
    mu = np.sort(slow["posterior"]["mu"].values, axis=1)[:, np.random.default_rng(7).permuted(np.arange(2000))]
    mu = np.repeat(mu[:, ::4], 4, axis=1)  # each value four times in a row: only one in four is new
    density = stats.norm.logpdf(Y, mu[:, ::4, None], 1.0)

    def tree(draws, coords):
        return xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset({"mu": (("chain", "draw"), draws)}, coords={"draw": coords}),
                "log_likelihood": xr.Dataset(
                    {"y": (("chain", "draw", "obs"), density)}, coords={"draw": np.arange(0, 2000, 4)}
                ),
            }
        )

    kept = psis_loo(tree(mu[:, ::4], np.arange(0, 2000, 4)))
    whole = psis_loo(tree(mu, np.arange(2000)))
    np.testing.assert_array_equal(whole.k_hat, kept.k_hat)  # exact: the same draws are looked at


def test_conclusions_follow_differences_and_errors():
    same = compare_traces({"a": run(seed=5), "b": run(seed=6)})
    assert "less than 4, so the two predict equally well" in same.conclusion
    apart = compare_traces({"a": run(), "b": run(sd=3.0)})
    assert apart.conclusion.startswith("a is ahead of b by ")
    assert apart.conclusion.endswith("more than two standard errors, so it predicts better.")


def test_observations_with_bad_k_hat_are_counted_and_said():
    outlier = np.r_[Y, 60.0]
    result = compare_traces({"fragile": run(y=outlier, sd=1.0, prior_sd=10.0)})
    (row,) = result.rows
    assert row.k_hat_bad + row.k_hat_very_bad >= 1
    assert row.k_hat_ok + row.k_hat_bad + row.k_hat_very_bad == 151
    assert result.warnings[0].startswith("fragile: for 1 of 151 observations k-hat is above 0.70")


def test_small_data_and_few_draws_are_said():
    result = compare_traces({"small": run(y=Y[:20], draws=50)})
    assert "small: 200 stored draws are few for PSIS; keep at least 400." in result.warnings
    assert "small: with 20 observations the standard errors are themselves uncertain." in result.warnings


def test_so_few_draws_that_nothing_can_be_relied_on_are_said_or_refused():
    for draws in (1, 2, 6):  # of 4 chains each
        result = compare_traces({"few": run(draws=draws), "many": run()})
        row = next(row for row in result.rows if row.name == "few")
        assert np.isfinite(row.elpd_loo)
        assert row.k_hat_ok == 0
    single = run(draws=1)
    single = xr.DataTree.from_dict(
        {
            name: group.to_dataset().isel(chain=slice(1))
            for name, group in single.children.items()
            if "chain" in group.dims
        }
        | {"observed_data": single["observed_data"].to_dataset()}
    )
    with pytest.raises(DataError, match="one draw has no importance weights") as caught:
        compare_traces({"one": single, "many": run()})
    assert (caught.value.field, caught.value.expected) == ("draws", "at least 2 draws")


def test_runs_on_other_data_are_refused_by_name():
    with pytest.raises(DataError) as caught:
        compare_traces({"monday": run(), "tuesday": run(y=Y[:-1])})
    assert str(caught.value) == (
        "runs: runs 'monday' and 'tuesday' were trained on different data: 150 and 149 observations; "
        "compare runs on the same data only"
    )
    changed = Y.copy()
    changed[3] += 1e-9
    with pytest.raises(DataError, match="'monday' and 'tuesday' were trained on different data: as many observations"):
        compare_traces({"monday": run(), "tuesday": run(y=changed)})
    with pytest.raises(DataError, match="trained on different data"):
        compare_traces({"monday": run(exposure=np.ones(150)), "tuesday": run(exposure=np.full(150, 2.0))})


def test_what_is_missing_is_said_with_what_to_do():
    bare = xr.DataTree.from_dict({name: run()[name].to_dataset() for name in ("posterior", "observed_data")})
    with pytest.raises(DataError, match=r"no group 'log_likelihood'.*train 'old' again with the log likelihood stored"):
        compare_traces({"new": run(), "old": bare})
    with pytest.raises(DataError, match="runs: there is nothing to compare; expected at least one run"):
        compare_traces({})


def test_a_log_likelihood_that_is_not_finite_is_refused():
    broken = run()
    values = broken["log_likelihood"]["y"].values.copy()
    values[0, 0, 7] = np.nan
    tree = xr.DataTree.from_dict(
        {
            "posterior": broken["posterior"].to_dataset(),
            "observed_data": broken["observed_data"].to_dataset(),
            "log_likelihood": xr.Dataset({"y": (("chain", "draw", "obs"), values)}),
        }
    )
    with pytest.raises(DataError, match="the log likelihood of run 'broken' is not finite at observation 7"):
        compare_traces({"broken": tree})


def test_the_result_is_plain_data():
    result = compare_traces({"a": run(), "b": run(sd=3.0)})
    document = json.loads(json_text(result.as_document()))
    assert [row["name"] for row in document["rows"]] == ["a", "b"]
    table = result.as_table()
    assert table.rows[0][:2] == ("a", 1)
    assert result.conclusion in table.caption


def sampled(tree, windows, *, of=150):
    """The same run, its log likelihoods kept for some of the windows only."""
    groups = {name: group.to_dataset() for name, group in tree.children.items()}
    for name in ("log_likelihood", "observed_data"):
        groups[name] = groups[name].assign_coords(obs=np.arange(of)).isel(obs=windows)
        groups[name].attrs |= {"complete": 0, "windows_in_all": of}
    return xr.DataTree.from_dict(groups)


def test_a_sample_of_the_windows_is_said_and_compares_with_all_of_them():
    windows = np.arange(20, 140)
    part, all_of_it = sampled(run(), windows), run(sd=1.3, seed=3)
    result = compare_traces({"sampled": part, "complete": all_of_it})
    said = "Ranked on 120 of 150 windows, those of entities drawn at random (the same for every run)"
    assert result.basis.startswith(said)
    assert result.as_table().caption.count(said) == 1
    assert result.as_document()["basis"] == result.basis
    rows = {row.name: row for row in result.rows}
    assert [row.n_obs for row in result.rows] == [120, 120]
    whole = psis_loo(all_of_it).pointwise  # exact: the same densities of the same windows
    assert rows["complete"].elpd_loo == pytest.approx(whole[windows].sum(), rel=1e-12)


def test_a_sample_of_other_data_is_refused():
    with pytest.raises(DataError, match="trained on different data"):
        compare_traces({"sampled": sampled(run(), np.arange(100, 150)), "shorter": run(y=Y[:120])})
    changed = Y.copy()
    changed[30] += 1.0
    with pytest.raises(DataError, match="trained on different data"):
        compare_traces({"sampled": sampled(run(), np.arange(20, 50)), "changed": run(y=changed)})


def scores_of(score, **columns):
    table = pd.DataFrame({"entity": "a", "count": Y, **columns, "score": score, "k_hat": 0.1})
    table.attrs["draws"] = 400
    return table


def test_scores_of_all_windows_are_ranked_on_where_trainings_keep_them():
    exact, worse = exact_leave_one_out(), exact_leave_one_out(sd=2.0)
    traces = {"worse": sampled(run(sd=2.0), np.arange(10)), "exact": run()}
    result = compare_scores(traces, {"worse": scores_of(-worse), "exact": scores_of(-exact)})
    assert [row.name for row in result.rows] == ["exact", "worse"]
    assert result.rows[0].elpd_loo == pytest.approx(exact.sum(), rel=1e-12)  # exact: the same sum
    assert result.rows[1].dse == pytest.approx(np.sqrt(150 * (exact - worse).var()), rel=1e-10)
    assert result.rows[0].p_loo is None
    said = "Ranked on the 150 windows that the trainings scored, by their leave-one-out scores"
    assert result.as_table().caption.count(said) == 1
    json_text(result.as_document())


def test_scores_of_other_windows_are_refused_by_the_column_that_differs():
    first, traces = scores_of(Y), {"a": run(), "b": run()}
    with pytest.raises(DataError, match=r"'a' and 'b' were trained on different data: as many .* values in exposure"):
        compare_scores(traces, {"a": first.assign(exposure=1.0), "b": first.assign(exposure=2.0)})
    with pytest.raises(DataError, match="150 and 149 observations"):
        compare_scores(traces, {"a": first, "b": first.iloc[1:]})
