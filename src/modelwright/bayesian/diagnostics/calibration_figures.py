"""The picture of a calibration: rank histograms, and distribution functions within their simultaneous bands."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from modelwright.bayesian.diagnostics.calibration import Uniformity
from modelwright.bayesian.diagnostics.drawing import MUTED, PALE, PALETTE, draw_picture, name_axes
from modelwright.core.sections import Picture

BINS = 20


def calibration_picture(tested: Sequence[Uniformity]) -> Picture:
    """For each quantity the histogram of its ranks and the difference of its distribution function from uniform."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(tested), 2, squeeze=False, width_ratios=[1, 1.4])
        for one, (left, right) in zip(tested, grid, strict=True):
            count, values = one.ranks.size, one.n_draws + 1
            bins = min(BINS, values)
            edges = np.linspace(0, values, bins + 1)
            share = np.diff(np.ceil(edges - 1e-9)) / values  # ranks are whole: bins may hold one more or less
            low, high = stats.binom.ppf([[0.005], [0.995]], count, share)
            left.stairs(high, edges, baseline=low, fill=True, color=PALE)
            left.stairs(np.histogram(one.ranks, edges)[0], edges, color=PALETTE[0], linewidth=1.3)
            left.set(xlim=(0, values), ylim=(0, None), xticks=[0, values // 2, values])
            name_axes(left, title=one.name, y="replications")
            place = np.arange(1, values + 1) / values
            right.fill_between(
                place, one.band_low / count - place, one.band_high / count - place, color=PALE, linewidth=0
            )
            right.axhline(0, color=MUTED, linewidth=0.8)
            inside = one.inside_band
            right.plot(place, one.below / count - place, color=PALETTE[0 if inside else 1], drawstyle="steps-post")
            right.set(xlim=(0, 1))
            name_axes(right, title=f"{'inside' if inside else 'OUTSIDE'} the 95 % band", y="ECDF difference")
        grid[-1, 0].set_xlabel("rank of the truth")
        grid[-1, 1].set_xlabel("share of the ranks")

    names = ", ".join(one.name for one in tested)
    return draw_picture(
        "calibration",
        "Simulation-based calibration",
        draw,
        width=7.2,
        height=0.4 + 1.45 * len(tested),
        alt=f"Rank histograms and distribution functions for {names}",
        caption=(
            "Left: ranks of the true value among its posterior draws, with the range of 99 % of the bins of uniform "
            "ranks. Right: their distribution function minus the uniform one, with its simultaneous 95 % band."
        ),
    )
