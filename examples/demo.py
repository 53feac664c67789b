"""Two jobs from data to answer, with the same commands a person would type: pump failures, then a security log.

Run with `make demo`. Everything is written below ./demo.
"""

import shlex
import sys
import time
from pathlib import Path

from modelwright.cli import main
from modelwright.data.datasets import pump_failures, simulate_security_log


def command(words: str) -> None:
    """Show a command, run it, stop at the first failure."""
    print(f"\n$ modelwright {words}", flush=True)
    code = main(["--project", "demo", *shlex.split(words)])
    if code != 0:
        sys.exit(code)


def write_pumps(path: Path) -> None:
    """One row per pump: failures, and the thousand hours it ran."""
    pumps = pump_failures().to_frame().rename(columns={"entity": "pump", "count": "failures", "exposure": "hours"})
    pumps[["pump", "failures", "hours"]].to_csv(path, index=False)


def write_logins(path: Path) -> None:
    """One row per event; `attack` names the kind of attack on that user and day, and is empty on ordinary days."""
    log = simulate_security_log(seed=42)
    events = log.events.assign(day=log.events["timestamp"].dt.normalize())
    truth = log.truth.assign(day=log.truth["day"].astype("datetime64[ns]"))[["user", "day", "kind"]]
    events = events.merge(truth, on=["user", "day"], how="left").assign(
        attack=lambda table: table["kind"].fillna(""), attacked=lambda table: table["kind"].notna().astype(int)
    )
    events[["timestamp", "user", "source", "attack", "attacked"]].to_csv(path, index=False)


def demo() -> None:
    """Train, read the verdict, look at what stands out, ask for a forecast."""
    started = time.monotonic()
    folder = Path("demo")
    folder.mkdir(exist_ok=True)

    print("1. Ten pumps of a power plant (George, Makov and Smith 1993): how often does each fail per thousand hours?")
    write_pumps(folder / "pumps.csv")
    command(
        "train event_rates --data demo/pumps.csv --entity pump --count failures --exposure hours --likelihood poisson"
    )
    command("predict event_rates --entity pump_01 --horizon 1 --exposure 10 --interval 0.9")

    print("\n2. A log of 200 users over 30 days, with known attacks on 2 % of the user-days: are they found?")
    write_logins(folder / "logins.csv")
    command(
        "train event_rates --data demo/logins.csv --entity user --time timestamp --window 1D --span whole"
        " --edge-windows whole --label attacked --kind attack --draws 1000"
    )
    command("predict event_rates --entity user_0042 --horizon 7 --interval 0.9")
    command("runs list")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open the reports named above in a browser.")


if __name__ == "__main__":
    demo()
