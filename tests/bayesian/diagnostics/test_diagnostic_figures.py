"""Pictures: well-formed, small, the same bytes twice, no global state touched, the right numbers behind them."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.diagnostics.drawing import density_curve, draw_picture, shorten, thinned_line
from modelwright.bayesian.diagnostics.figures import (
    binomial_quantile,
    posterior_picture,
    rank_histogram,
    rank_picture,
    trace_picture,
)
from modelwright.core.errors import DataError

HARD_NAME = "a$very$ <entity> & 株式会社 'x'"


@pytest.fixture
def trace():
    rng = np.random.default_rng(1)
    posterior = xr.Dataset(
        {
            "mu": (("chain", "draw"), rng.gamma(9.0, size=(4, 2000))),
            "phi": (("chain", "draw"), rng.gamma(2.0, size=(4, 2000))),
            "theta": (("chain", "draw", "entity"), rng.gamma(3.0, size=(4, 2000, 2))),
        },
        coords={"entity": ["plain", HARD_NAME]},
    )
    prior = xr.Dataset({"mu": (("chain", "draw"), rng.exponential(10.0, size=(1, 500)))})
    return xr.DataTree.from_dict({"posterior": posterior, "prior": prior})


def texts(picture):
    """All text of an SVG picture."""
    root = ElementTree.fromstring(picture.content)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


PARAMETERS = [("mu", 0), ("phi", 0), ("theta", 1)]
DRAWN = {
    "traces": lambda trace: trace_picture(trace, PARAMETERS),
    "ranks": lambda trace: rank_picture(trace, PARAMETERS),
    "densities": lambda trace: posterior_picture(trace, ["mu", "phi"]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_svg_of_bounded_size_and_the_same_twice(name, trace):
    picture = DRAWN[name](trace)
    assert ElementTree.fromstring(picture.content).tag == "{http://www.w3.org/2000/svg}svg"
    assert len(picture.content) < 250_000
    assert b"<dc:date>" not in picture.content
    assert DRAWN[name](trace) == picture
    assert picture.alt


def test_hard_names_stay_text(trace):
    picture = trace_picture(trace, [("theta", 1)])
    assert f"theta[{HARD_NAME}]" in texts(picture)


def test_the_prior_is_drawn_where_there_is_one(trace):
    assert {"posterior", "prior"} <= set(texts(posterior_picture(trace, ["mu"])))
    assert "prior" not in texts(posterior_picture(trace, ["phi"]))


def test_a_single_number_is_needed_for_a_density():
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": (("chain", "draw", "k"), np.ones((1, 5, 2)))})})
    with pytest.raises(DataError, match="names: there is no single parameter to draw"):
        posterior_picture(tree)


def test_draws_that_are_not_finite_or_do_not_move_are_drawn_without_trouble():
    draws = np.ones((2, 50))
    draws[1] = np.nan
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": (("chain", "draw"), draws)})})
    for picture in (trace_picture(tree, [("x", 0)]), rank_picture(tree, [("x", 0)]), posterior_picture(tree, ["x"])):
        ElementTree.fromstring(picture.content)


def test_settings_of_matplotlib_are_as_before(trace):
    before = dict(mpl.rcParams)
    posterior_picture(trace, ["mu"])
    assert dict(mpl.rcParams) == before
    with pytest.raises(ZeroDivisionError):
        draw_picture("x", "x", lambda _: 1 / 0, width=1, height=1, alt="")
    assert dict(mpl.rcParams) == before


def test_drawing_needs_no_pyplot():
    code = "import sys, modelwright.bayesian.diagnostics.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rank_histograms_of_agreeing_chains_are_flat_and_of_others_not():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(4, 1000))
    counts = rank_histogram(draws)
    assert counts.sum(axis=1).tolist() == [1000] * 4
    # 80 bins: chi-square with 57 degrees of freedom (rows and columns are fixed); 1e-6 lets a right build fail never
    assert stats.chi2.sf(((counts - 50) ** 2 / 50).sum(), 57) > 1e-6
    draws[0] += 1.0
    assert stats.chi2.sf(((rank_histogram(draws) - 50) ** 2 / 50).sum(), 57) < 1e-6


def test_densities_are_those_of_the_distribution():
    draws = np.random.default_rng(3).exponential(size=200_000)
    grid, density = density_curve(draws, low=0.0, high=6.0)
    # Smoothing at this many draws moves the density by at most a few thousandths, mirrored at zero by some hundredths
    np.testing.assert_allclose(density[10:], np.exp(-grid[10:]), atol=0.02)
    assert density[0] == pytest.approx(1.0, abs=0.08)


def test_thinned_lines_keep_spikes_and_order():
    values = np.random.default_rng(4).normal(size=50_000)
    positions, kept = thinned_line(values)
    assert len(kept) <= 300
    assert kept.max() == values.max()
    assert kept.min() == values.min()
    assert np.all(np.diff(positions) > 0)
    np.testing.assert_array_equal(values[positions], kept)


def test_short_labels_are_left_alone():
    assert shorten("mu") == "mu"
    assert len(shorten("x" * 100)) == 36


@pytest.mark.parametrize("n", [1, 2, 25, 1000, 10_000])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_binomial_quantiles_are_scipys(n: int, share: float) -> None:
    for probability in (0.005, 0.5, 0.995):
        assert binomial_quantile(probability, n, share) == stats.binom.ppf(probability, n, share)


def test_ranks_of_equal_draws_are_shared_as_scipy_shares_them() -> None:
    draws = np.random.default_rng(0).integers(0, 60, (4, 100)).astype(float)
    draws[0, 3] = draws[2, 7] = np.inf
    ranks = stats.rankdata(draws, method="average").reshape(draws.shape)
    expected = [np.histogram(row, bins=8, range=(0.5, draws.size + 0.5))[0] for row in ranks]
    assert rank_histogram(draws, bins=8).tolist() == np.array(expected).tolist()
