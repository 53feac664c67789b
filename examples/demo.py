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


def demo() -> None:
    """Train, read the verdict, look at what stands out, ask for a forecast."""
    started = time.monotonic()
    folder = Path("demo")
    folder.mkdir(exist_ok=True)

    print("1. Ten pumps of a power plant (George, Makov and Smith 1993): which fail more often than chance explains?")
    pumps = pump_failures().to_frame()
    pumps[["entity", "count", "exposure"]].to_csv(folder / "pumps.csv", index=False)
    command(
        "train event_rates --data demo/pumps.csv --entity entity --count count --exposure exposure --likelihood poisson"
    )
    command("predict event_rates --entity pump_10 --horizon 3 --exposure 1.0 --interval 0.9")

    print("\n2. Logins of 200 users over 30 days, with known attacks in 2 % of the user-days: are they found?")
    log = simulate_security_log(seed=42)
    counts = log.counts().to_frame()
    counts.to_csv(folder / "logins.csv", index=False)
    command(
        "train event_rates --data demo/logins.csv --entity entity --time window_start --window 1D --count count"
        " --label label --kind kind --draws 1000"
    )
    command("predict event_rates --entity user_0042 --horizon 7 --interval 0.9")
    command("runs list")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open the reports named above in a browser.")


if __name__ == "__main__":
    demo()
