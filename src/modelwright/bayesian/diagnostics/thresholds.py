"""From which value a convergence statistic is good, a warning or a problem, and where the value comes from.

| statistic | good | warning | problem | source |
|---|---|---|---|---|
| largest R-hat | below 1.01 | from 1.01 | from 1.05 | Vehtari et al. (2021): 1.01; 1.05 is the laxer older habit |
| smallest bulk and tail ESS | from 400 | below 400 | below 100 | Vehtari et al. (2021): 50 per split chain of four |
| divergent transitions | 0 | 1 to 10 | more than 10 | Betancourt (2017): any one may point at a bias; 10 is arbitrary |
| draws at the largest tree depth | 0 | up to 5 % | above 5 % | costs efficiency, not validity; 5 % is arbitrary |
| smallest E-BFMI | from 0.3 | below 0.3 | below 0.2 | Betancourt (2016): 0.2; Stan and ArviZ: 0.3 |
| k-hat of the proposal | up to 0.7 | | above 0.7 | Vehtari, Simpson, Gelman, Yao and Gabry (2024): 0.7 |
| smallest acceptance rate | from 0.3 | below 0.3 | 0 | a rate of a leaves about a / (2 - a) of the draws; arbitrary |
| k-hat of a guide | up to 0.7 | | above 0.7 | Yao, Vehtari, Simpson and Gelman (2018): 0.7 |
| slope of the ELBO's tail, in errors | below 2 | from 2 | | a slope of two standard errors is no noise |
| gain to come, in nats | below 1 | from 1 | from 10 | what the slope promises over as many steps again; arbitrary |
| steps left out | 0 | up to 1 % | above 1 % | loss or gradient not finite; 1 % is arbitrary |
| parameters without a gradient | 0 | | above 0 | they stand where they began |
| contraction | from 0.1 | below 0.1 | | 1 - posterior over prior variance; arbitrary |
| spread along a direction | below 3 | from 3 | from 10 | over what its parameters show one by one; arbitrary |
| steps that no observation notices | 0 | from 1 | | what counts as one is said in `ridges` |
| share of units beyond k-hat's limit | 0 | up to 1 % | above 1 % | their densities do not hold; 1 % is arbitrary |
| distance of residuals from a normal | up to 0.02 | above 0.02 | above 0.1 | Kolmogorov's distance; arbitrary |
| share of genes outside the band | up to 0.2 | above 0.2 | above 0.5 | a tenth falls out by chance; arbitrary |

The k-hat of the proposal and the acceptance rate are for draws that were proposed independently of each other;
divergences, tree depth and energies belong to NUTS and do not apply to them (see `sampler_checks`). What follows them
belongs to fitted guides, to what the data leave open, and to checks of counts.

Sources: https://arxiv.org/abs/1903.08008, https://arxiv.org/abs/1701.02434, https://arxiv.org/abs/1604.00695,
https://jmlr.org/papers/v25/19-556.html, https://proceedings.mlr.press/v80/yao18a.html.
"""

import math
from dataclasses import dataclass

from modelwright.core.verdict import Grade


@dataclass(frozen=True)
class Threshold:
    """Two limits on one statistic.

    Args:
        good: The limit of what is good.
        problem: The limit of what is a problem.
        words: The limits in words.
        larger_is_better: Whether large values are the good ones.
        good_at_limit: Whether a value equal to `good` is still good.
        problem_at_limit: Whether a value equal to `problem` is already a problem.

    Example:
        >>> [str(R_HAT.grade(value)) for value in (1.0099, 1.01, 1.05, None)]
        ['good', 'warning', 'problem', 'unknown']
    """

    good: float
    problem: float
    words: str
    larger_is_better: bool = False
    good_at_limit: bool = False
    problem_at_limit: bool = False

    def grade(self, value: float | None) -> Grade:
        """The grade of a value; unknown when there is none or it is not a number."""
        if value is None or math.isnan(value):
            return Grade.UNKNOWN
        sign = -1.0 if self.larger_is_better else 1.0  # as if small values were the good ones
        held, good, problem = sign * value, sign * self.good, sign * self.problem
        if held < good or (held == good and self.good_at_limit):
            return Grade.GOOD
        if held > problem or (held == problem and self.problem_at_limit):
            return Grade.PROBLEM
        return Grade.WARNING


R_HAT = Threshold(good=1.01, problem=1.05, problem_at_limit=True, words="good below 1.01, problem from 1.05")
ESS = Threshold(
    good=400, problem=100, larger_is_better=True, good_at_limit=True, words="good from 400, problem below 100"
)
DIVERGENCES = Threshold(good=0, problem=10, good_at_limit=True, words="good at 0, problem above 10")
SATURATION = Threshold(good=0, problem=0.05, good_at_limit=True, words="good at 0, problem above 5 % of the draws")
BFMI = Threshold(
    good=0.3, problem=0.2, larger_is_better=True, good_at_limit=True, words="good from 0.3, problem below 0.2"
)
NON_FINITE = Threshold(good=0, problem=0, good_at_limit=True, words="good at 0, problem above 0")
PROPOSAL_K_HAT = Threshold(good=0.7, problem=0.7, good_at_limit=True, words="good up to 0.7, problem above 0.7")
ACCEPTANCE = Threshold(
    good=0.3,
    problem=0.0,
    larger_is_better=True,
    good_at_limit=True,
    problem_at_limit=True,
    words="good from 0.3, problem at 0",
)
GUIDE_K_HAT = Threshold(good=0.7, problem=0.7, good_at_limit=True, words="good up to 0.7, problem above 0.7")
ELBO_GAIN = Threshold(
    good=1.0, problem=10.0, problem_at_limit=True, words="good below 1 nat to come, problem from 10 nats"
)
SKIPPED_STEPS = Threshold(good=0, problem=0.01, good_at_limit=True, words="good at 0, problem above 1 % of the steps")
UNTOUCHED = Threshold(good=0, problem=0, good_at_limit=True, words="good at 0, problem above 0")
CONTRACTION = Threshold(
    good=0.1, problem=-math.inf, larger_is_better=True, good_at_limit=True, words="good from 0.1, else a warning"
)
JOINT_SPREAD = Threshold(good=3.0, problem=10.0, problem_at_limit=True, words="good below 3, problem from 10")
LOO_K_HAT = Threshold(good=0, problem=0.01, good_at_limit=True, words="good at 0, problem above 1 % of the units")
OUTSIDE_BAND = Threshold(good=0.2, problem=0.5, good_at_limit=True, words="good up to 20 %, problem above 50 %")
RESIDUAL_DISTANCE = Threshold(good=0.02, problem=0.1, good_at_limit=True, words="good up to 0.02, problem above 0.1")
ELBO_SLOPE_ERRORS = 2.0
"""Standard errors from which a slope of the ELBO counts as one."""
