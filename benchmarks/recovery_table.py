"""The table of `count_recovery.py`: a row per combination, what it comes to, and its place in docs/performance.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recovery_models import Case, Drawn, quantities
from recovery_reach import LEAST, MOST

from modelwright.core.files import write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
REFERENCE = "Laplace"

LACKS = {
    "mean field": "no dependence at all",
    "conditional": "none but on one number all share",
    "chain": "none between genes, or from cells to genes",
    "low rank": "none between parameters",
    "joint low rank": "few common directions; cells apart",
    "flow": "none between parameters",
    "conditional flow": "none but on one number all share, and within a parameter",
    "amortized cells": "cells apart from genes",
}


def covered_shares(case: Case, draws: Mapping[str, np.ndarray], drawn: Drawn) -> dict[str, tuple[np.ndarray, int]]:
    """Group -> of each data set the share of truths inside their 90 % intervals, and truths in all."""
    found = {}
    for group, function in quantities(case).items():
        shares, number = [], 0
        for k, truth in enumerate(drawn.truth):
            values = {name: each[k] for name, each in draws.items()}
            if case.name == "mixture":
                values = relabelled(values, truth)
            of_draws, true = function(values), function(truth)
            inside = []
            for name, each in of_draws.items():
                low, high = np.quantile(np.asarray(each), [0.05, 0.95], axis=0)
                inside.append(np.ravel((low < true[name]) & (true[name] < high)))
            flat = np.concatenate(inside)
            shares.append(flat.mean())
            number += flat.size
        found[group] = (np.asarray(shares), number)
    return found


def relabelled(values: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draws with the two components in the order that is nearer to the truth: their numbers mean nothing."""
    level = "mu" if "mu" in truth else "r"
    apart = lambda order: np.square(np.log(values[level]).mean(0)[order] - np.log(truth[level])).sum()  # noqa: E731
    if apart([0, 1]) <= apart([1, 0]):
        return dict(values)
    swapped = {name: each[:, ::-1] for name, each in values.items() if name in ("mu", "r", "weights")}
    return {**values, **swapped}


def row_of(
    case: Case, family: str, shares: Mapping[str, tuple[np.ndarray, int]], reached: Mapping[str, float], **more: Any
) -> dict[str, Any]:
    """One row of the table as plain data."""
    groups = {}
    for group, (each, number) in shares.items():
        share, repeats = float(each.mean()), len(each)
        least = np.sqrt(0.9 * 0.1 / number)  # of independent truths; data sets that happen to be alike know no better
        error = max(float(each.std(ddof=1) / np.sqrt(repeats)) if repeats > 1 else 1.0, float(least))
        found = {"share": share, "error": error, "truths": number}
        groups[group] = judged(found, reached.get(group))
    return {"case": case.name, "way": case.parameterization, "family": family, "groups": groups, **more}


def judged(group: Mapping[str, Any], reached: float | None) -> dict[str, Any]:
    """The coverage of a group of quantities held against what the best guide of the family would reach."""
    can = reached is None or reached >= LEAST
    fine = group["share"] + 2.0 * group["error"] >= LEAST and group["share"] - 2.0 * group["error"] <= MOST
    state = "covers" if can and fine else "does NOT cover" if can else "cannot"
    return {**group, "reach": reached, "state": state}


GROUPS = ("genes", "shared", "cells", "odds of cells")

HEAD = [
    "| likelihood | parameters | guide | of genes | shared by all | capture | odds of cells | k-hat | s | |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def line_of(row: Mapping[str, Any]) -> str:
    """A row as a line of Markdown: coverage, its standard error, and what the best guide of the family would cover."""
    cells = []
    for group in GROUPS:
        found = row["groups"].get(group)
        if found is None:
            cells.append("")
            continue
        reached = "" if found["reach"] is None else f" ({100 * found['reach']:.0f})"
        cells.append(f"{100 * found['share']:.0f} ± {100 * found['error']:.0f}{reached}")
    return (
        f"| {row['case']} | {row['way']} | {row['family']} | " + " | ".join(cells) + f" | {row['k_hat']:.2f} | "
        f"{row['seconds']:.0f} | {verdict_of(row)} |"
    )


def verdict_of(row: Mapping[str, Any]) -> str:
    """What a row comes to, in words."""
    if row["family"] == REFERENCE:
        return "for comparison"
    states = {group: found["state"] for group, found in row["groups"].items()}
    wrong = [group for group, state in states.items() if state == "does NOT cover"]
    if wrong:
        return f"**does not cover**: {', '.join(wrong)}"
    short = [group for group, state in states.items() if state == "cannot"]
    return f"cannot ({', '.join(short)}): {LACKS[row['family']]}" if short else "covers"


def pooled(rows: Sequence[Mapping[str, Any]], family: str) -> tuple[float, float]:
    """A family's mean coverage over all groups of quantities where it can, and its standard error; NaN without any."""
    found = [group for row in rows if row["family"] == family for group in row["groups"].values()]
    can = [group for group in found if group["state"] != "cannot"]
    if not can:
        return float("nan"), float("nan")
    error = float(np.sqrt(sum(group["error"] ** 2 for group in can))) / len(can)
    return float(np.mean([group["share"] for group in can])), error


def pooled_outside(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Families whose coverage over everything is outside of 85 to 95 %: what single rows are too noisy to show."""
    found = {family: pooled(rows, family) for family in LACKS}
    return [f for f, (mean, error) in found.items() if mean + 2.0 * error < LEAST or mean - 2.0 * error > MOST]


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Coverage of each family over all likelihoods and parameterisations, where it can and where it cannot."""
    lines = ["| guide | groups of quantities where it can | least to most | mean ± error | where it cannot | mean |"]
    lines.append("|---|---|---|---|---|---|")
    for family in [REFERENCE, *LACKS]:
        found = [group for row in rows if row["family"] == family for group in row["groups"].values()]
        if not found:
            continue
        can = [100 * group["share"] for group in found if group["state"] != "cannot"]
        cannot = [100 * group["share"] for group in found if group["state"] == "cannot"]
        mean, error = pooled(rows, family)
        span = f"{min(can):.0f} to {max(can):.0f} | {100 * mean:.1f} ± {100 * error:.1f}" if can else " | "
        short = f"{np.mean(cannot):.0f}" if cannot else ""
        lines.append(f"| {family} | {len(can)} | {span} | {len(cannot)} | {short} |")
    return lines


MARK = "<!-- what follows is written by benchmarks/count_recovery.py --write-docs -->"
END = "<!-- end of what is written by benchmarks/count_recovery.py -->"


def page(rows: Sequence[Mapping[str, Any]], options: Any) -> list[str]:
    """The section of docs/performance.md."""
    wrong = [row for row in rows if "not cover" in verdict_of(row)]
    return [
        "## Count models: every likelihood, parameterisation and guide family",
        "",
        f"{options.repeats} data sets for each likelihood and parameterisation, parameters and counts drawn from the "
        f"model's own prior, {options.cells} cells x {options.genes} genes (three fifths of that for zinbvcp, half for "
        f"mixtures and batches), fitted with the defaults of `svi` and at most {options.steps:,} steps; seed "
        f"{options.seed}. In per cent: true values inside their 90 % intervals ± a standard error over data sets, and "
        "in parentheses what the best guide with the family's structure would cover, computed from the curvature at "
        "the mode, and from draws of the posterior for its form, before any guide was fitted. Where that is 85 or "
        "more the family can, and has to cover 85 to 95 within two standard errors. k-hat is the median over the data "
        "sets, the seconds are those of all data sets "
        "together, compilation included.",
        "",
        f"{len(wrong)} of {sum(row['family'] != REFERENCE for row in rows)} combinations should cover and do not.",
        "",
        *summary(rows),
        "",
        "Families whose mean over everything is outside of 85 to 95 by more than two standard errors: "
        f"{', '.join(pooled_outside(rows)) or 'none'}.",
        "",
        *HEAD,
        *(line_of(row) for row in rows),
        "",
    ]


def write_docs(lines: Sequence[str]) -> None:
    """Put the section into docs/performance.md, in place of the one that was there."""
    path = DOCS / "performance.md"
    text = path.read_text(encoding="utf-8")
    before, _, after = text.partition(MARK)
    rest = after.partition(END)[2].lstrip("\n") if after else ""
    section = f"{MARK}\n\n" + "\n".join(lines).rstrip() + f"\n\n{END}\n"
    write_text(path, f"{before.rstrip()}\n\n{section}" + (f"\n{rest}" if rest else ""))
