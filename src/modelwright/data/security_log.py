"""A simulated security log: ordinary logins with daily and weekly rhythm, and three kinds of attack that are known.

The ordinary number of events of user u on day d is negative binomial with a mean that differs between users and days,

    count[u, d] ~ NegativeBinomial(mean = rate[u] * rhythm[d], concentration),    rate[u] ~ Gamma(mean 5)

tuned so that user-days have mean 5 and standard deviation 3. Of all user-days a given share is attacked, split equally
among brute force (50 to 200 more events), credential stuffing (a campaign: 3 to 10 more events on each of 10 to 30
users on one day) and device anomalies (3 to 8 more events).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError
from modelwright.core.files import write_through
from modelwright.core.seeds import check_seed, named_generator
from modelwright.data.events.counts import EventCounts

KINDS = ("brute_force", "credential_stuffing", "device_anomaly")
FIRST_DAY = np.datetime64("2024-03-04")  # a Monday, so that the weekly rhythm can be read off the day number

_MEAN = 5.0
_SPREAD = 3.0
# Monday to Sunday, mean 1: fewer logins at weekends. Arbitrary, as is the share of the spread that lies between users.
_WEEK = np.array([1.08, 1.10, 1.10, 1.08, 1.04, 0.82, 0.78])
_BETWEEN_USERS = 0.25
_CAMPAIGN = (10, 30)
_DAY_SECONDS = 86_400


@dataclass(frozen=True, eq=False)
class SecurityLog:
    """A log and what is true about it.

    Args:
        events: One row per event, by time: timestamp (naive, UTC), user, source (the address it came from).
        truth: One row per attacked user-day: user, day, kind, extra_events.
        n_users: Users.
        n_days: Days.
        seed: Seed it was made from.
    """

    events: pd.DataFrame
    truth: pd.DataFrame
    n_users: int
    n_days: int
    seed: int

    def counts(self) -> EventCounts:
        """Events per user and day over all days, with the attacks as `label` and `kind`.

        Days are observed entirely, since the log is known to run from midnight to midnight.
        """
        shape = (self.n_users, self.n_days)
        users = _user_names(self.n_users)
        place = {name: number for number, name in enumerate(users.tolist())}
        count = np.zeros(shape, dtype=np.int64)
        who = np.array([place[name] for name in self.events["user"]], dtype=np.int64)
        np.add.at(count, (who, _days_of(self.events["timestamp"])), 1)
        kind = np.full(shape, "", dtype=object)
        kind[[place[name] for name in self.truth["user"]], _days_of(self.truth["day"])] = self.truth["kind"].to_numpy()
        user, day = (index.ravel() for index in np.indices(shape))
        return EventCounts.from_arrays(
            entity=users[user],
            count=count.ravel(),
            window_start=FIRST_DAY + day,
            label=(kind != "").ravel(),
            kind=kind.ravel(),
            window="1D",
            source={
                "name": "simulate_security_log",
                "format": "simulated",
                "n_users": self.n_users,
                "n_days": self.n_days,
                "seed": self.seed,
                "rows": len(self.events),
            },
        )


def simulate_security_log(
    *, n_users: int = 200, n_days: int = 30, attack_fraction: float = 0.02, seed: int
) -> SecurityLog:
    """Simulate a log.

    Args:
        n_users: Users, at least 2, named user_0001 and so on.
        n_days: Days, at least 1, from Monday 4 March 2024.
        attack_fraction: Share of user-days that are attacked; their number is round(share * users * days) exactly.
        seed: Everything follows from it.

    Returns:
        Events and truth.

    Raises:
        ConfigurationError: for sizes or shares that are out of range.

    Example:
        >>> log = simulate_security_log(n_users=50, n_days=20, attack_fraction=0.02, seed=7)
        >>> len(log.truth), sorted(set(log.truth["kind"]))
        (20, ['brute_force', 'credential_stuffing', 'device_anomaly'])
    """
    n_users = _whole("n_users", n_users, 2, 100_000)
    n_days = _whole("n_days", n_days, 1, 3_650)
    number = isinstance(attack_fraction, int | float) and not isinstance(attack_fraction, bool)
    if not number or not 0 <= attack_fraction <= 0.5:
        raise ConfigurationError(
            "not a share", field="attack_fraction", expected="a number from 0 to 0.5", got=attack_fraction
        )
    check_seed(seed)
    ordinary = _ordinary_counts(n_users, n_days, named_generator(seed, "ordinary counts"))
    n_attacked = round(attack_fraction * n_users * n_days)
    attacks = list(_attacks(n_users, n_days, n_attacked, named_generator(seed, "attacks")))
    users = _user_names(n_users)
    random = named_generator(seed, "times")
    user, day = (index.ravel() for index in np.indices((n_users, n_days)))
    parts = [_ordinary_events(np.repeat(user, ordinary.ravel()), np.repeat(day, ordinary.ravel()), n_users, random)]
    parts += [_attack_events(attack, random) for attack in attacks]
    second, who, source = (np.concatenate([part[place] for part in parts]) for place in range(3))
    order = np.lexsort((who, second))
    events = pd.DataFrame(
        {
            "timestamp": FIRST_DAY.astype("datetime64[s]") + second[order].astype("timedelta64[s]"),
            "user": users[who[order]],
            "source": source[order],
        }
    )
    attacks.sort(key=lambda attack: (attack[1], attack[0]))
    truth = pd.DataFrame(
        {
            "user": users[[attack[0] for attack in attacks]] if attacks else users[:0],
            "day": (FIRST_DAY + np.array([attack[1] for attack in attacks], dtype=np.int64)).astype("datetime64[s]"),
            "kind": np.array([attack[2] for attack in attacks], dtype=object),
            "extra_events": np.array([attack[3] for attack in attacks], dtype=np.int64),
        }
    )
    return SecurityLog(events, truth, n_users, n_days, seed)


def write_security_log(log: SecurityLog, events_path: str | Path, truth_path: str | Path | None = None) -> None:
    """Write the raw events (CSV or Parquet, by suffix) and the truth (CSV), each whole or not at all.

    Args:
        log: The log.
        events_path: File of events: timestamp, user, source.
        truth_path: File of attacks: user, day, kind, extra_events; none is written when left out.

    Raises:
        ConfigurationError: for another suffix.
        StorageError: when the disk refuses.
    """
    events_path = Path(events_path)
    if events_path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError(
            "not a format for events",
            field="path",
            expected="a name that ends in .csv or .parquet",
            got=events_path.name,
        )
    if events_path.suffix == ".csv":
        write_through(events_path, lambda path: log.events.to_csv(path, index=False))
    else:
        write_through(events_path, lambda path: log.events.to_parquet(path, index=False))
    if truth_path is not None:
        truth = log.truth.assign(day=log.truth["day"].dt.strftime("%Y-%m-%d"))
        write_through(Path(truth_path), lambda path: truth.to_csv(path, index=False))


def _ordinary_counts(n_users: int, n_days: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Events per user and day without attacks, shape (n_users, n_days), mean 5 and standard deviation 3.

    The variance 9 is 5 (Poisson), plus the variance of the means over users and days of the week, plus the mean of
    their squares divided by the concentration; the concentration is solved for.
    """
    shape = 1 / (_BETWEEN_USERS**2)
    rate = random.gamma(shape, _MEAN / shape, size=n_users)
    mean = rate[:, None] * (_WEEK / _WEEK.mean())[np.arange(n_days) % 7][None, :]
    second_moment = _MEAN**2 * (1 + _BETWEEN_USERS**2) * (1 + (_WEEK / _WEEK.mean()).var())
    concentration = second_moment / (_SPREAD**2 - _MEAN - (second_moment - _MEAN**2))
    return np.asarray(random.poisson(random.gamma(concentration, mean / concentration)), dtype=np.int64)


Attack = tuple[int, int, str, int]


def _attacks(n_users: int, n_days: int, n_attacked: int, random: np.random.Generator) -> Iterator[Attack]:
    """User, day, kind and number of extra events of every attacked user-day; no user-day is attacked twice."""
    shares = [n_attacked // 3 + (1 if place < n_attacked % 3 else 0) for place in range(3)]
    free = np.ones((n_users, n_days), dtype=np.bool_)
    for size in _campaigns(shares[1], n_users, random):
        fitting = np.flatnonzero(free.sum(axis=0) >= size)
        day = int(random.choice(fitting))
        for user in random.choice(np.flatnonzero(free[:, day]), size=size, replace=False).tolist():
            free[user, day] = False
            yield user, day, KINDS[1], int(random.integers(3, 11))
    for kind, share, low, high in ((KINDS[0], shares[0], 50, 200), (KINDS[2], shares[2], 3, 8)):
        for cell in random.choice(np.flatnonzero(free.ravel()), size=share, replace=False).tolist():
            free[cell // n_days, cell % n_days] = False
            yield cell // n_days, cell % n_days, kind, int(random.integers(low, high + 1))


def _campaigns(total: int, n_users: int, random: np.random.Generator) -> list[int]:
    """Sizes of campaigns that add up to `total`: 10 to 30 users each, unless there are too few for even one."""
    low, high = min(_CAMPAIGN[0], n_users), min(_CAMPAIGN[1], n_users)
    sizes: list[int] = []
    left = total
    while left > 0:
        # What remains after this campaign must be nothing, or enough for another.
        choices = [size for size in range(low, high + 1) if size == left or left - size >= low]
        sizes.append(int(random.choice(choices)) if choices else min(left, high))
        left -= sizes[-1]
    return sizes


def _ordinary_events(
    user: NDArray[np.int64], day: NDArray[np.int64], n_users: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Second, user and source of ordinary events: most in office hours, around an hour of each user's own."""
    usual_hour = random.normal(13.0, 1.5, size=n_users)
    at_work = random.random(len(user)) < 0.85
    hour = np.where(at_work, random.normal(usual_hour[user], 2.5), random.uniform(0, 24, size=len(user)))
    second = day * _DAY_SECONDS + np.clip(hour * 3_600, 0, _DAY_SECONDS - 1).astype(np.int64)
    return second, user, np.array([f"10.0.{u // 250}.{u % 250 + 1}" for u in user.tolist()], dtype=object)


def _attack_events(
    attack: Attack, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Second, user and source of the events of one attack: brute force in a burst, the others over the day."""
    user, day, kind, extra = attack
    length = 1_800 if kind == KINDS[0] else _DAY_SECONDS // 2
    start = int(random.integers(0, _DAY_SECONDS - length))
    second = day * _DAY_SECONDS + start + random.integers(0, length, size=extra)
    # Addresses set aside for documentation (RFC 5737).
    block = {"brute_force": "203.0.113", "credential_stuffing": "198.51.100", "device_anomaly": "192.0.2"}[kind]
    source = f"{block}.{day % 250 + 1}"
    return second.astype(np.int64), np.full(extra, user, dtype=np.int64), np.full(extra, source, dtype=object)


def _user_names(n_users: int) -> NDArray[np.object_]:
    return np.array([f"user_{number + 1:04d}" for number in range(n_users)], dtype=object)


def _days_of(times: "pd.Series[Any]") -> NDArray[np.int64]:
    days: NDArray[np.datetime64] = times.to_numpy().astype("datetime64[D]")
    return np.asarray((days - FIRST_DAY).astype(np.int64), dtype=np.int64)


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ConfigurationError("not a size", field=name, expected=f"a whole number from {low} to {high}", got=value)
    return int(value)
