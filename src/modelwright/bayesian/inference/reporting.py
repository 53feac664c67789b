"""Progress of several chains as events of two stages, not more often than a face can show."""

import time

from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.progress import ProgressCallback, ProgressEvent


class ChainsProgress:
    """Counts draws and divergences of all chains and reports them.

    Chains need not keep step: `warm-up` and `sample` may both be moving. Every stage ends with an event whose `done`
    equals its `total`.

    Args:
        settings: How many draws there will be.
        callback: Who wants to know.
        interval: Seconds between two events of a stage, at least.
    """

    def __init__(self, settings: NutsSettings, callback: ProgressCallback, *, interval: float = 0.2) -> None:
        self._settings = settings
        self._callback = callback
        self._interval = interval
        self._finished = [0] * settings.chains
        self._divergences = [0] * settings.chains
        self._reported = {"warm-up": -1, "sample": 0}
        self._last = 0.0
        self._begin = time.perf_counter()

    def compiling(self, *, done: bool) -> None:
        """Say that the model is being compiled, or is."""
        self._callback(ProgressEvent("compile", float(done), 1.0, "model"))
        self._begin = time.perf_counter()

    def update(self, chain: int, finished: int, divergences: int) -> None:
        """A chain has `finished` draws by now (warm-up included), `divergences` of those kept or counted so far."""
        self._finished[chain] = finished
        self._divergences[chain] = divergences
        complete = sum(self._finished) == self._settings.chains * (self._settings.tune + self._settings.draws)
        now = time.perf_counter()
        if complete or now - self._last >= self._interval:
            self._last = now
            self._report(now)

    def _report(self, now: float) -> None:
        tune, draws, chains = self._settings.tune, self._settings.draws, self._settings.chains
        speed = sum(self._finished) / max(now - self._begin, 1e-9)
        info = {"divergences": sum(self._divergences), "draws_per_second": round(speed, 1)}
        stages = {
            "warm-up": (sum(min(n, tune) for n in self._finished), chains * tune),
            "sample": (sum(max(n - tune, 0) for n in self._finished), chains * draws),
        }
        for stage, (done, total) in stages.items():
            if done != self._reported[stage]:
                self._reported[stage] = done
                self._callback(ProgressEvent(stage, done, total, "draws", info))
