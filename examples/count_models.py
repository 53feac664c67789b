"""A model of counts composed from specifications, a guide beside it, and what a fit can be asked."""

import tempfile

import modelwright.bayesian.inference
from modelwright.bayesian.builders import BetaSpec, GuideBuilder, LogNormalSpec, ModelBuilder
from modelwright.bayesian.components import LowRankGuide, MeanFieldGuide, NegativeBinomialLikelihood
from modelwright.data.counts import simulate_counts

simulated = simulate_counts("nbdm", n_cells=300, n_genes=20, p=0.6, seed=1)
counts = simulated.counts

model = (
    ModelBuilder()
    .add_param(BetaSpec("p", (), (1.0, 1.0)))
    .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True))
    .add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
    .with_likelihood(NegativeBinomialLikelihood())
    .build()
)
guide = (
    GuideBuilder()
    .from_specs(
        [
            BetaSpec("p", (), (1.0, 1.0), guide_family=MeanFieldGuide()),
            LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True, guide_family=LowRankGuide(rank=10)),
        ]
    )
    .build()
)

fit = modelwright.bayesian.inference.svi(model, guide, counts, steps=2000, batch_size=None)
print(*fit.settings["notes"], sep="\n")
print(f"p: true {float(simulated.truth['p']):.3f}, {fit.sample(1000)['p'].mean():.3f} in the mean")
print(fit.posterior().head(4).to_string())
print(fit.diagnose().sentence)
print(f"elpd by leave-one-out: {fit.loo().loo.elpd:.1f}")
print(list(fit.to_inferencedata().posterior.data_vars))
with tempfile.TemporaryDirectory() as folder:
    print("kept in", fit.save(f"{folder}/run").name)
