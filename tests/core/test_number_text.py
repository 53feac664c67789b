"""Numbers as people read them: short whatever their size, the same on the terminal and in the report."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.bayesian.diagnostics.convergence import rounded
from modelwright.bayesian.event_rates.prior_predictive import PriorQuantity, shown
from modelwright.core.number_text import number_text
from modelwright.runs.figures_in_words import number

LONGEST = len("-999,999,999,999,999")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (6.3212345e28, "6.321e+28"), (-6.3e28, "-6.300e+28"), (10**28, "1.000e+28"), (0.0, "0"), (3.0, "3"),
        (999.96, "1,000"), (0.5, "0.5"), (1e-7, "1.000e-07"), (float("nan"), "nan"), (float("-inf"), "-infinite"),
        (9_007_199_254_740_993, "9.007e+15"), (123_456_789, "123,456,789"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, expected) -> None:
    assert number_text(value) == expected


@given(st.floats(allow_nan=False) | st.integers(-(10**400), 10**400))
def test_no_number_is_long_nor_differs_between_terminal_and_report(value) -> None:
    text = number_text(value)
    assert len(text) <= LONGEST
    assert number(value).replace("−", "-").replace("∞", "infinite") == text


@given(st.floats(-1e300, 1e300))
def test_a_figure_rounded_for_a_table_is_as_short_in_it(value) -> None:
    assert len(number_text(rounded(value))) <= LONGEST
    assert float(number_text(rounded(value)).replace(",", "")) == pytest.approx(value, rel=5.1e-4)  # half a digit


def test_what_a_prior_expects_is_written_as_short() -> None:
    quantity = PriorQuantity("largest count", (0, 0, 0, 0, 0), 1.0, None, 1, 1)
    assert [shown(value, quantity) for value in (1234.0, 2.3456, np.inf, 1e300)] == [
        "1,234",
        "2.35",
        "infinite",
        "1.00e+300",
    ]
