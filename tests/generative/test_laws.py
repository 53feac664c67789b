"""Every law on named models with perturbed weights; second models of a kind, fresh and trained ones are slow tests."""

import pytest
from adapted_instances import INSTANCES as ADAPTED
from flax import nnx
from flow_instances import INSTANCES as FLOWS
from sequential_instances import INSTANCES as SEQUENTIAL
from vae_instances import INSTANCES as VAES

from modelwright.generative.laws.law import Subject
from modelwright.generative.laws.table import LAWS

INSTANCES = {**VAES, **FLOWS, **SEQUENTIAL, **ADAPTED}

SECOND = {
    "VAE of labels, trained with importance weights",
    "VAE, convolutions, Gaussian",
    "CVAE of contexts, Gaussian of known scale",
    "VQVAE of labels, convolutions",
    "RealNVP of context, linear maps between",
    "MAF, plane",
    "splines, autoregressive, five numbers",
    "continuous of context, plane",
    "Transformer of labels, rotary",
    "PixelCNN of four columns, labels",
    "WaveNet",
    "MADE",
    "images before an autoencoder of zeros and ones",
}
"""Slow tests: compiling a model for all laws takes ten seconds of a core (a solver of equations thirty), and another
instance of the class, or of its parts, is among the others."""

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("fresh", "trained")]


@pytest.fixture(scope="module", params=["perturbed", *SLOW])
def weights(request):
    return request.param


# Traced and not computed: whether a law applies does not depend on a model's numbers.
OUTLINES = {name: nnx.eval_shape(instance.outline) for name, instance in INSTANCES.items()}

PAIRS = [
    pytest.param(name, law, id=f"{name}-{law.name}", marks=[pytest.mark.slow] if name in SECOND else [])
    for name in INSTANCES
    for law in LAWS
    if law.applies(OUTLINES[name])
]


@pytest.fixture(scope="module")
def subject(request, weights):
    return Subject(*INSTANCES[request.param].made(weights))


@pytest.mark.parametrize(("subject", "law"), PAIRS, indirect=["subject"])
def test_law(subject, law):
    measured = law.measure(subject)
    assert measured.holds, f"{measured.words} {measured.figure:.3g}, at most {measured.tolerance:.3g}"


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_every_law_says_something(law):
    assert any(law.applies(model) for name, model in OUTLINES.items() if name not in SECOND)


def test_every_class_is_among_the_fast_ones():
    # the continuous flow is the only one without a cheap instance; `test_flow_models` and `test_flow_ode` have it
    classes = lambda names: {type(OUTLINES[name]).__name__ for name in names}  # noqa: E731
    assert classes(INSTANCES) - classes(set(INSTANCES) - SECOND) == {"ContinuousFlow"}
