"""Data sets that come with the package: real pump failures, and a simulated security log with known attacks."""

from modelwright.data.events.counts import EventCounts
from modelwright.data.security_log import SecurityLog, simulate_security_log, write_security_log

__all__ = ["SecurityLog", "pump_failures", "simulate_security_log", "write_security_log"]

_PUMP_TIMES = (94.3, 15.7, 62.9, 126.0, 5.24, 31.4, 1.05, 1.05, 2.1, 10.5)
_PUMP_FAILURES = (5, 1, 5, 14, 3, 19, 1, 1, 4, 22)


def pump_failures() -> EventCounts:
    """Failures of ten pumps of a nuclear power plant, with hours of operation as exposure.

    Returns:
        One observation per pump; exposure in thousand hours, no windows of time.

    Source:
        E. I. George, U. E. Makov and A. F. M. Smith (1993), Conjugate likelihood distributions, Scandinavian Journal of
        Statistics 20(2), 147-156, https://www.jstor.org/stable/4616270; first in D. P. Gaver and I. G. O'Muircheartaigh
        (1987), Technometrics 29(1), 1-15.

    Example:
        >>> pumps = pump_failures()
        >>> pumps.n_entities, int(pumps.count.sum()), round(float(pumps.exposure.sum()), 2)
        (10, 75, 350.24)
    """
    return EventCounts.from_arrays(
        entity=[f"pump_{number:02d}" for number in range(1, 11)],
        count=_PUMP_FAILURES,
        exposure=_PUMP_TIMES,
        window_label=["thousand hours"] * 10,
        source={"name": "pump_failures", "format": "built in", "exposure_unit": "thousand hours", "rows": 10},
    )
