"""Simulate and recover: what 90 % intervals cover, for every likelihood, parameterisation and guide family.

    python benchmarks/count_recovery.py                                  # the whole grid, and the examples
    python benchmarks/count_recovery.py --only nbdm zinb --repeats 20    # some likelihoods, more data sets
    python benchmarks/count_recovery.py --rows rows.json                 # keep each row, and go on from what is there
    python benchmarks/count_recovery.py --rows rows.json --write-docs    # the table into docs/performance.md
    python benchmarks/count_recovery.py --parts nuts same examples

grid: parameters are drawn from each model's own prior and data from the parameters, so that intervals of the exact
posterior cover 90 % on average; no data set is left out. Every guide family is fitted with the defaults of `svi`
(`recovery_fits`: its own steps over all data sets at once), and Laplace's approximation stands beside them.

Which combinations have to cover was laid down before any of them was fitted (`recovery_reach`): from the curvature at
the mode follows what the best guide with a family's structure would cover. Where that is at least 85 %, the family can,
and its intervals have to cover 85 to 95 %, to within two standard errors (data sets are the unit: their truths are not
independent); a row by itself says little with few data sets, and so each family's mean over all of them has to be
there, too. Where it is less, the family cannot, and the table says what it lacks. Capture probabilities, p and mu of
models with capture are not determined by the data, only the odds of cells and r are; they are drawn from the prior as
well, so that the rule holds for them too.

nuts: NUTS on data sets of a tiny size, as a check on models and truths.

same: that fitting side by side is what `svi` does: the parameters of one fit, by both.

examples: the example of the package's specification and each example of docs/builders.md, as they are written.

Exit status: 0 when everything that should cover does and every example runs, 1 otherwise.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from recovery_examples import examples
from recovery_fits import Fits, fit_all, modes_of
from recovery_models import Case, Drawn, cases, draw, family_names, guide_of
from recovery_reach import Reference, reach, reference_of
from recovery_table import (
    HEAD,
    LACKS,
    REFERENCE,
    covered_shares,
    judged,
    line_of,
    page,
    pooled_outside,
    row_of,
    verdict_of,
    write_docs,
)

from modelwright.bayesian.inference import nuts, svi
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.files import write_text

PARTS = ("grid", "nuts", "same", "examples")
DRAWS = 1000


def grid(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of the grid, those that are known already among them."""
    setting = {"cells": options.cells, "genes": options.genes, "repeats": options.repeats}
    setting |= {"steps": options.steps, "seed": options.seed}
    rows = kept_rows(options.rows, setting)
    for case in cases():
        if options.only and not {case.name, f"{case.name}/{case.parameterization}"} & set(options.only):
            continue
        names = [name for name in family_names(case) if not options.families or name in options.families]
        missing = [name for name in names if not known_row(rows, case, name)]
        again = [row for row in rows if is_of(row, case) and row.get("reference", "laplace") != options.reference]
        if not missing and not again and known_row(rows, case, REFERENCE):
            continue
        began = time.perf_counter()
        with jax.enable_x64(True):
            drawn = draw(case, options.cells, options.genes, options.repeats, options.seed)
            known = modes_of(case.model, guide_of(case, "mean field"), drawn.data)
            reference = reference_of(case, known, DRAWS, drawn.data if options.reference == "nuts" else None)
            for row in again:
                judge_again(row, case, reference)
                row["reference"] = options.reference
                print(line_of(row), flush=True)
            keep_rows(options.rows, rows)
            if not known_row(rows, case, REFERENCE):
                shares = covered_shares(case, reference.normal, drawn)
                k_hat = float(np.median(reference.k_hat))
                spent = time.perf_counter() - began
                more = {"k_hat": k_hat, "seconds": spent, "reference": options.reference, **setting}
                rows.append(row_of(case, REFERENCE, shares, {}, **more))
                print(line_of(rows[-1]), flush=True)
            for family in missing:
                began = time.perf_counter()
                fits = fitted(case, family, drawn, known, options)
                reached = reach(case, family, reference)
                shares = covered_shares(case, fits.draws, drawn)
                k_hat, spent = float(np.median(fits.k_hat)), time.perf_counter() - began
                more = {"k_hat": k_hat, "seconds": spent, "reference": options.reference, **setting}
                rows.append(row_of(case, family, shares, reached, **more))
                print(line_of(rows[-1]), flush=True)
                keep_rows(options.rows, rows)
        jax.clear_caches()
    return rows


def fitted(case: Case, family: str, drawn: Drawn, known: Sequence[dict[str, Any]], options: argparse.Namespace) -> Fits:
    """Every data set's guide of one family."""
    return fit_all(
        case.model,
        guide_of(case, family),
        drawn.data,
        known,
        steps=options.steps,
        draws=DRAWS,
        seed=options.seed,
    )


def is_of(row: Mapping[str, Any], case: Case) -> bool:
    """Whether a row is of a case."""
    return (row["case"], row["way"]) == (case.name, case.parameterization)


def judge_again(row: dict[str, Any], case: Case, reference: Reference) -> None:
    """Hold a row that was fitted before against another reference."""
    if row["family"] != REFERENCE:
        reached = reach(case, row["family"], reference)
        row["groups"] = {name: judged(group, reached[name]) for name, group in row["groups"].items()}


def known_row(rows: Sequence[Mapping[str, Any]], case: Case, family: str) -> bool:
    """Whether a row is there."""
    key = (case.name, case.parameterization, family)
    return any((row["case"], row["way"], row["family"]) == key for row in rows)


def kept_rows(path: Path | None, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of an earlier run of the same sizes."""
    if path is None or not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [row for row in rows if all(row[name] == value for name, value in setting.items())]


def keep_rows(path: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows so far."""
    if path is not None:
        write_text(path, json.dumps(rows, indent=1) + "\n")


def beside_nuts(options: argparse.Namespace) -> bool:
    """Coverage of NUTS on tiny data sets of some models."""
    print("\n## NUTS, 40 cells x 6 genes\n")
    print(*HEAD, sep="\n")
    fine = True
    for case in cases():
        if case.name not in ("nbdm", "zinb", "nbvcp") or case.parameterization != "mean_prob":
            continue
        began = time.perf_counter()
        with jax.enable_x64(True):
            drawn = draw(case, 40, 6, options.nuts_repeats, options.seed)
        settings = NutsSettings(draws=500, tune=500, chains=1)
        fits = [nuts(case.model, data, settings=settings) for data in drawn.data]
        samples = [fit.sample(500) for fit in fits]
        draws = {name: np.stack([each[name] for each in samples]) for name in samples[0]}
        shares = covered_shares(case, draws, drawn)
        row = row_of(case, "NUTS", shares, {}, k_hat=float("nan"), seconds=time.perf_counter() - began)
        print(line_of(row).replace("| nan |", "| |"), flush=True)
        fine &= all(group["state"] == "covers" for group in row["groups"].values())
    return fine


def same_as_svi(options: argparse.Namespace) -> bool:
    """That fits side by side end where `svi` ends."""
    case = next(case for case in cases() if (case.name, case.parameterization) == ("nbdm", "mean_prob"))
    guide = guide_of(case, "conditional")
    with jax.enable_x64(True):
        drawn = draw(case, options.cells, options.genes, 2, options.seed)
        known: list[dict[str, Any]] = [{}, {}]
        fits = fit_all(case.model, guide, drawn.data, known, steps=options.steps, draws=4000, seed=options.seed)
    alone = svi(case.model, guide, drawn.data[0], steps=options.steps, seed=options.seed)
    single = alone.sample(4000)
    apart = {
        name: float(np.max(np.abs(fits.draws[name][0].mean(0) - single[name].mean(0)) / single[name].std(0)))
        for name in ("p", "mu", "r")
    }
    print(f"\nside by side and alone: {fits.steps[0]} and {len(alone.elbo)} steps; means apart by at most", end=" ")
    print(", ".join(f"{value:.3f} sd ({name})" for name, value in apart.items()), "of 4,000 draws each")
    return fits.steps[0] == len(alone.elbo) and max(apart.values()) < 0.15


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["grid", "examples"])
    parser.add_argument("--cells", type=int, default=150)
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=8, help="data sets of each likelihood and parameterisation")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="likelihoods, such as nbdm or nbdm/mean_prob")
    parser.add_argument("--families", nargs="+", choices=tuple(LACKS), help="guide families")
    parser.add_argument("--rows", type=Path, help="file of rows to go on from and to write to")
    parser.add_argument(
        "--reference",
        choices=("laplace", "nuts"),
        default="laplace",
        help="draws of the posterior where Laplace's cannot be reweighted: none, or those of NUTS (slower)",
    )
    parser.add_argument("--nuts-repeats", type=int, default=5)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args(arguments)
    # programs of the same shapes come again; most take less than the second from which JAX keeps them by itself
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    fine = True
    if "grid" in options.parts:
        print(*HEAD, sep="\n")
        rows = grid(options)
        lines = page(rows, options)
        print("\n" + "\n".join(lines))
        fine &= not any("not cover" in verdict_of(row) for row in rows) and not pooled_outside(rows)
        if options.write_docs:
            write_docs(lines)
    if "nuts" in options.parts:
        fine &= beside_nuts(options)
    if "same" in options.parts:
        fine &= same_as_svi(options)
    if "examples" in options.parts:
        fine &= examples()
    print("\nas it should be" if fine else "\nNOT as it should be")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
