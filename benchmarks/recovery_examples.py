"""The examples of `count_recovery.py`: the one of the builders' specification, and each of docs/builders.md."""

import os
import re
import tempfile
import time
from pathlib import Path

import modelwright.bayesian.inference
from modelwright.data.counts import simulate_counts

DOCS = Path(__file__).resolve().parents[1] / "docs"

EXAMPLE = """
from modelwright.bayesian.builders import ModelBuilder, GuideBuilder, BetaSpec, LogNormalSpec, GaussianLatentSpec
from modelwright.bayesian.components import NegativeBinomialLikelihood, MeanFieldGuide, LowRankGuide, AmortizedGuide, GroupedAmortizedGuide, Amortizer, TOTAL_COUNT

model = (ModelBuilder()
    .add_param(BetaSpec("p", (), (1.0, 1.0)))
    .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True))
    .add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
    .with_likelihood(NegativeBinomialLikelihood())
    .build())
guide = GuideBuilder().from_specs([BetaSpec("p", (), (1.0, 1.0), guide_family=MeanFieldGuide()),
                                   LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True, guide_family=LowRankGuide(rank=10))]).build()

fit = modelwright.bayesian.inference.svi(model, guide, counts, steps=2000, batch_size=None)     # or nuts(model, counts)
fit.posterior(); fit.sample(1000); fit.diagnose(); fit.loo(); fit.to_inferencedata(); fit.save("run/")
"""  # noqa: E501 (as it was written)


def examples() -> bool:
    """Run each example as it is written, with simulated counts."""
    print("\n## Examples\n")
    blocks = {"the specification's": EXAMPLE}
    text = (DOCS / "builders.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S), 1):
        blocks[f"docs/builders.md, {number}"] = block
    counts = simulate_counts("nbdm", n_cells=200, n_genes=30, p=0.6, seed=0).counts
    fine, before = True, Path.cwd()
    for name, block in blocks.items():
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                known = {"modelwright": modelwright, "counts": counts, "train": counts, "held_out": counts}
                exec(compile(block, name, "exec"), known)
                outcome = "runs"
            except Exception as error:  # whatever an example raises is what is to be shown
                outcome, fine = f"raises {type(error).__name__}: {error}", False
            finally:
                os.chdir(before)
        print(f"{name}: {outcome} ({time.perf_counter() - began:.0f} s)", flush=True)
    return fine
