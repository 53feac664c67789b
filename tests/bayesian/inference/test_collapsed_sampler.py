"""Independence chains: exact for targets in closed form, honest about targets their proposals cannot cover."""

import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.inference.blocks import blocks, in_order
from modelwright.bayesian.inference.collapsed import IndependenceDraws, sample_by_independence
from modelwright.bayesian.inference.modes import laplace
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.student_mixture import StudentMixture, fit_mixture, single_student
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.progress import ProgressEvent

SETTINGS = NutsSettings(draws=1000, chains=4, seed=3)


def normal(points: np.ndarray) -> np.ndarray:
    """Correlation 0.95, standard deviations 1 and 100, mean (5, -300)."""
    z = (points - [5.0, -300.0]) / [1.0, 100.0]
    return -0.5 * (z[:, 0] ** 2 - 1.9 * z[:, 0] * z[:, 1] + z[:, 1] ** 2) / (1 - 0.95**2)


def log_gammas(points: np.ndarray) -> np.ndarray:
    """Logarithms of Gamma variables of shapes 0.5, 1 and 3: long left tails, as data with no information leave them."""
    return (points * [0.5, 1.0, 3.0] - np.exp(points)).sum(1)


def assert_mean(draws: np.ndarray, truth: float) -> None:
    mcse = float(draws.std()) / np.sqrt(float(az.ess(draws, method="mean")))
    assert abs(float(draws.mean()) - truth) < 4 * mcse


def test_a_correlated_normal() -> None:
    found = sample_by_independence(normal, np.array([0.0, 0.0]), SETTINGS, scale=np.array([1.0, 10.0]))
    assert found.k_hat < 0.5
    assert found.points.shape == (4, 1000, 2)
    assert found.log_density.ravel() == pytest.approx(normal(found.points.reshape(-1, 2)), abs=1e-10)
    x, y = found.points[..., 0], found.points[..., 1]
    for draws, truth in ((x, 5.0), (y, -300.0), ((x - 5) ** 2, 1.0), ((x - 5) * (y + 300), 95.0)):
        assert_mean(draws, truth)
    assert min(az.ess(x), az.ess(y)) > 0.7 * 4000
    assert max(az.rhat(x), az.rhat(y)) < 1.01


def test_long_tails_of_log_gammas() -> None:
    found = sample_by_independence(log_gammas, np.zeros(3), SETTINGS)
    assert found.reliable
    for k, shape in enumerate((0.5, 1.0, 3.0)):
        assert_mean(np.exp(found.points[..., k]), shape)
        below = stats.gamma(shape).ppf(0.05)
        assert_mean((np.exp(found.points[..., k]) < below).astype(float), 0.05)


def test_two_separated_modes_with_a_start_between_them() -> None:
    def density(points: np.ndarray) -> np.ndarray:
        return np.logaddexp(-0.5 * (points[:, 0] - 2.5) ** 2, np.log(0.25) - 0.5 * (points[:, 0] + 2.5) ** 2)

    found = sample_by_independence(density, np.zeros(1), SETTINGS)
    assert_mean((found.points[..., 0] > 0).astype(float), 0.8 * stats.norm.cdf(2.5) + 0.2 * stats.norm.cdf(-2.5))


def test_modes_far_apart_are_weighed_when_a_start_leads_to_each() -> None:
    def density(points: np.ndarray) -> np.ndarray:  # one part in 20 lies in a narrow mode 100 of its widths away
        narrow = np.log(0.05 / 0.1) - 0.5 * (((points - 10.0) / 0.1) ** 2).sum(1) - np.log(0.1)
        return np.logaddexp(np.log(0.95) - 0.5 * (points**2).sum(1), narrow)

    starts = np.array([[9.5, 10.4], [0.5, -0.3], [1.0, 1.0]])
    found = sample_by_independence(density, starts, SETTINGS)
    assert found.reliable
    assert_mean((found.points[..., 0] > 5).astype(float), 0.05)


def test_a_poor_proposal_costs_effective_draws_but_not_correctness() -> None:
    """The walk itself, fed by proposals that are shifted and too wide."""
    from modelwright.bayesian.inference.collapsed import _walk

    generator = np.random.default_rng(1)
    proposal = StudentMixture(np.ones(1), np.array([[1.5]]), np.array([[[2.0]]]), np.array([4.0]))
    points = np.stack([proposal.draw(20_000, generator) for _ in range(4)])
    target = -0.5 * points[..., 0] ** 2
    ratio = target - proposal.log_density(points.reshape(-1, 1)).reshape(4, -1)
    chains = _walk(
        points[:, 0], target[:, 0], ratio[:, 0], points, target, ratio, np.log(generator.random(target.shape))
    )
    draws = chains[0][..., 0]
    assert_mean(draws, 0.0)
    assert_mean(draws**2, 1.0)
    assert az.ess(draws) < 0.6 * draws.size


def test_tails_that_no_proposal_covers_are_found_out() -> None:
    def density(points: np.ndarray) -> np.ndarray:  # Student t with a twentieth of a degree of freedom
        return -0.525 * np.log1p(20.0 * points[:, 0] ** 2)

    found = sample_by_independence(density, np.ones(1), SETTINGS)
    assert not found.reliable
    assert found.k_hat > 0.7 or found.efficiency < 0.1


def test_the_same_seed_gives_the_same_draws_and_another_seed_others() -> None:
    first, again = (sample_by_independence(normal, np.zeros(2), SETTINGS) for _ in range(2))
    other = sample_by_independence(normal, np.zeros(2), NutsSettings(draws=1000, chains=4, seed=4))
    assert (first.points == again.points).all()
    assert (first.points != other.points).any()


def test_draws_of_a_chain_change_where_a_proposal_was_accepted() -> None:
    found = sample_by_independence(normal, np.zeros(2), SETTINGS)
    moved = (np.diff(found.points, axis=1) != 0).any(-1)
    assert (moved == found.accepted[:, 1:]).all()
    assert ((found.acceptance_rate >= 0) & (found.acceptance_rate <= 1)).all()
    if found.steps == 1:  # 4,000 draws: standard error 0.005
        assert abs(found.acceptance_rate.mean() - found.accepted.mean()) < 0.03


def test_progress_may_interrupt_and_says_how_far_it_is() -> None:
    seen: list[ProgressEvent] = []

    def listen(event: ProgressEvent) -> None:
        seen.append(event)
        if event.stage == "sample":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_by_independence(normal, np.zeros(2), SETTINGS, progress=listen)
    assert next(event.stage for event in seen) == "mode"
    assert seen[-2].info["k_hat"] < 0.7


def test_a_density_of_zero_in_places_is_no_obstacle() -> None:
    def density(points: np.ndarray) -> np.ndarray:  # a half-normal, without a change of variable
        return np.where(points[:, 0] > 0, -0.5 * points[:, 0] ** 2, -np.inf)

    found = sample_by_independence(density, np.ones(1), SETTINGS)
    assert isinstance(found, IndependenceDraws)
    assert (found.points > 0).all()
    assert_mean(found.points[..., 0], np.sqrt(2 / np.pi))


def test_the_mode_is_found_from_far_away() -> None:
    mode, covariance = laplace(log_gammas, np.array([-20.0, 6.0, 3.0]), scale=0.01)
    assert mode == pytest.approx(np.log([0.5, 1.0, 3.0]), abs=0.02)
    # differences of a tenth of a standard deviation: within a few per cent of the curvature
    assert np.diagonal(covariance) == pytest.approx([2.0, 1.0, 1 / 3], rel=0.05)


def test_a_mixture_has_the_density_it_draws_from() -> None:
    mixture = StudentMixture(
        np.array([0.3, 0.7]),
        np.array([[0.0, 0.0], [3.0, -1.0]]),
        np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.4, 0.0], [0.0, 2.0]]]),
        np.array([5.0, 8.0]),
    )
    points = np.random.default_rng(1).normal(0, 3, (50, 2))
    truth = np.zeros(50)
    for share, place, factor, df in zip(mixture.share, mixture.location, mixture.factor, mixture.df, strict=True):
        truth += share * stats.multivariate_t(place, factor @ factor.T, df=df).pdf(points)
    assert np.exp(mixture.log_density(points)) == pytest.approx(truth, rel=1e-10)
    draws = mixture.draw(40_000, np.random.default_rng(2))
    expected = (mixture.share[:, None] * mixture.location).sum(0)
    assert (np.abs(draws.mean(0) - expected) < 4 * draws.std(0) / np.sqrt(len(draws))).all()


def test_fitting_finds_the_mixture_that_drew() -> None:
    mixture = StudentMixture(
        np.array([0.4, 0.6]), np.array([[-4.0], [4.0]]), np.array([[[1.0]], [[0.5]]]), np.array([15.0, 15.0])
    )
    points = mixture.draw(4000, np.random.default_rng(2))
    even = np.full(4000, 1 / 4000)
    found = fit_mixture(points, even, components=2, df=15.0, generator=np.random.default_rng(3))
    order = np.argsort(found.location[:, 0])
    # standard errors: 0.008 of the shares, 0.03 and 0.01 of the places
    assert found.share[order] == pytest.approx([0.4, 0.6], abs=0.035)
    assert found.location[order, 0] == pytest.approx([-4.0, 4.0], abs=0.12)
    single = single_student(np.zeros(2), np.eye(2), 5.0)
    assert single.share.tolist() == [1.0]


def test_blocks_cover_a_table_once() -> None:
    table = np.zeros((7, 11))
    for part in blocks(7, 11, 25):
        table[part] += 1
        assert table[part].size <= 25
    assert (table == 1).all()


def test_results_come_in_order_whatever_the_threads() -> None:
    parts = list(blocks(300, 1, 1))
    assert list(in_order(lambda part: part[0].start, parts, cores=5)) == list(range(300))


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fail(part: tuple[slice, slice]) -> None:
        raise ValueError(f"block {part[0].start}")

    with pytest.raises(ValueError, match="block 0"):
        list(in_order(fail, blocks(50, 1, 1), cores=3))
