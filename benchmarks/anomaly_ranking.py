"""Does the leave-one-out score rank attacks higher than what people use instead? PR-AUC over seeds of a simulated log.

    python benchmarks/anomaly_ranking.py --seeds 20

Each seed simulates 200 users over 30 days with 2 % of the user-days attacked, fits the event-rate model and ranks all
user-days by every method. The methods see the counts, user and day, never the labels. Every method is shown in two
forms, so that none loses for looking at the wrong side: ours and the two likelihoods by density and by upper tail, the
z-score with and without its sign, the isolation forest with and without calendar features.

The second pass is what one does after looking at the first: windows whose leave-one-out P(Y >= y) is below 0.01 / n
are taken out, the model is trained again, and those windows are scored as new ones.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize

from modelwright.bayesian.event_rates.anomaly import (
    ranking_score,
    score_new_windows,
    score_training_windows,
    score_training_windows_in_sample,
)
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf, upper_tail
from modelwright.bayesian.event_rates.evaluation import evaluate_ranking
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.data.datasets import simulate_security_log
from modelwright.data.events import EventCounts

OURS = ("leave-one-out, score", "leave-one-out, -log P(Y>=y)")
PEERS = {
    "per-user z-score": ("z-score, absolute", "z-score, signed"),
    "one global negative binomial": ("global NB, -log p", "global NB, -log P(Y>=y)"),
    "isolation forest": ("isolation forest, counts", "isolation forest, counts and calendar"),
    "same model, scored on its training data": ("in-sample, score", "in-sample, -log P(Y>=y)"),
}


def rankings(seed: int, args: argparse.Namespace) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scores of all user-days by every method, with labels and kinds."""
    data = simulate_security_log(n_users=args.users, n_days=args.days, seed=seed).counts()
    config = ModelConfig.create(
        n_samples=args.draws, n_tune=args.tune, n_chains=args.chains, random_seed=seed, target_accept=0.8
    )
    trace = fit_event_rates(data, config, predictive_draws=1, prior_draws=1)
    left_out = score_training_windows(trace, data)
    in_sample = score_training_windows_in_sample(trace, data)
    count = data.count.astype(float).reshape(args.users, args.days)
    deviation = (count - count.mean(1, keepdims=True)) / np.maximum(count.std(1, ddof=1, keepdims=True), 1e-9)
    mean, concentration = global_negative_binomial(data.count)
    second = second_pass(data, left_out, config)
    found = {
        OURS[0]: ranking_score(left_out),
        OURS[1]: ranking_score(left_out, direction="high"),
        "leave-one-out, second pass, score": ranking_score(second),
        "leave-one-out, second pass, -log P(Y>=y)": ranking_score(second, direction="high"),
        "z-score, absolute": np.abs(deviation).ravel(),
        "z-score, signed": deviation.ravel(),
        "global NB, -log p": -negative_binomial_logpmf(data.count, mean, concentration),
        "global NB, -log P(Y>=y)": -np.log(np.maximum(upper_tail(data.count, mean, concentration), 1e-300)),
        "isolation forest, counts": isolation_forest(count, deviation, seed, calendar=False),
        "isolation forest, counts and calendar": isolation_forest(count, deviation, seed, calendar=True),
        "in-sample, score": ranking_score(in_sample),
        "in-sample, -log P(Y>=y)": ranking_score(in_sample, direction="high"),
    }
    return found, np.asarray(data.label), np.asarray(data.kind)


def second_pass(data: EventCounts, scores: pd.DataFrame, config: ModelConfig) -> pd.DataFrame:
    """Scores from a model trained without the windows that the first pass found beyond doubt."""
    windows = data.to_frame()
    kept = scores["tail_probability"].to_numpy() >= 0.01 / len(scores)
    cleaned = EventCounts.from_frame(windows[kept])
    trace = fit_event_rates(cleaned, config, predictive_draws=1, prior_draws=1)
    table = score_training_windows(trace, cleaned)
    if not kept.all():
        table = pd.concat([table, score_new_windows(trace, windows[~kept])])
    keys = ["entity", "window_start"]
    return windows[keys].merge(table, on=keys, validate="one_to_one")


def global_negative_binomial(count: np.ndarray) -> tuple[float, float]:
    """Maximum likelihood of one negative binomial for all windows: mean and concentration."""
    mean = float(count.mean())
    values, times = np.unique(count, return_counts=True)

    def loss(log_concentration: float) -> float:
        return -float(times @ negative_binomial_logpmf(values, mean, np.exp(log_concentration)))

    return mean, float(np.exp(optimize.minimize_scalar(loss, bounds=(-5, 10), method="bounded").x))


def isolation_forest(count: np.ndarray, deviation: np.ndarray, seed: int, *, calendar: bool) -> np.ndarray:
    """Anomaly scores of scikit-learn's isolation forest, on counts and their deviations from the user and the day."""
    from sklearn.ensemble import IsolationForest

    root = np.sqrt(count)  # variance-stabilising
    features = [root, deviation, root - np.median(root, axis=1, keepdims=True)]
    if calendar:
        day = np.broadcast_to(np.arange(count.shape[1]), count.shape)
        features += [
            root - np.median(root, axis=0, keepdims=True),
            *[(day % 7 == weekday).astype(float) for weekday in range(7)],
        ]
    table = np.stack([feature.ravel() for feature in features], axis=1)
    return -IsolationForest(n_estimators=300, random_state=seed, n_jobs=1).fit(table).score_samples(table)


def summary(results: list[dict[str, dict[str, float]]]) -> str:
    """Tables in Markdown: PR-AUC by method and kind, then paired differences."""
    methods, kinds = list(results[0]), list(results[0][OURS[0]])
    value = {m: {k: np.array([r[m][k] for r in results]) for k in kinds} for m in methods}
    n = len(results)
    head = " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds)
    lines = [f"PR-AUC over {n} seeds: mean (standard deviation)", "", f"| method | {head}"]
    for m in methods:
        cells = [f"{value[m][k].mean():.3f} ({deviation_of(value[m][k]):.3f})" for k in kinds]
        lines.append(f"| {m} | " + " | ".join(cells) + " |")
    for ours in OURS:
        lines += ["", f"'{ours}' minus peer, paired by seed: mean +/- standard error, wins of {n}", ""]
        lines.append(f"| peer | {head}")
        for form in (form for forms in PEERS.values() for form in forms):
            cells = []
            for k in kinds:
                difference = value[ours][k] - value[form][k]
                error = deviation_of(difference) / np.sqrt(n)
                cells.append(f"{difference.mean():+.4f} +/- {error:.4f}, {(difference > 0).sum()}")
            lines.append(f"| {form} | " + " | ".join(cells) + " |")
    lines.append("")
    for ours, form in ((ours, form) for ours in OURS for forms in PEERS.values() for form in forms):
        word = "beats" if value[ours]["all"].mean() > value[form]["all"].mean() else "LOSES TO"
        lines.append(f"- overall, on the mean over seeds, '{ours}' {word} '{form}'")
    return "\n".join(lines)


def losses(results: list[dict[str, dict[str, float]]]) -> list[str]:
    """Peers that the leave-one-out score does not beat overall, on the mean over seeds.

    The same model in-sample is compared by the same form, the score: its tail probability is another way to rank, which
    the tables show beside the leave-one-out tail probability.
    """
    mean = {method: float(np.mean([r[method]["all"] for r in results])) for method in results[0]}
    peers = [form for forms in PEERS.values() for form in forms if form != "in-sample, -log P(Y>=y)"]
    return [peer for peer in peers if not mean[OURS[0]] > mean[peer]]


def deviation_of(values: np.ndarray) -> float:
    """Standard deviation over seeds; not a number for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def main() -> int:
    """Run the seeds and print the tables; 1 when the leave-one-out score does not beat every peer."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="simulated logs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write every seed's figures here")
    args = parser.parse_args()
    results, started = [], time.perf_counter()
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        scores, label, kind = rankings(seed, args)
        found = {}
        for method, score in scores.items():
            figures = evaluate_ranking(score, label, kind)
            found[method] = {"all": figures["pr_auc"]}
            found[method] |= {name: entry["pr_auc"] for name, entry in figures["by_kind"].items()}
        results.append(found)
        best = ", ".join(f"{method} {entry['all']:.3f}" for method, entry in found.items())
        print(f"seed {seed} ({time.perf_counter() - started:.0f} s): {best}", file=sys.stderr)
    print(f"{args.users} users, {args.days} days, {args.chains} chains x {args.draws} draws after {args.tune}\n")
    print(summary(results))
    print(f"\n{time.perf_counter() - started:.0f} s")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    lost = losses(results)
    print(f"the leave-one-out score beats every peer: {'yes' if not lost else 'no, not ' + ', '.join(lost)}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
