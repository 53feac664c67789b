"""Every law of the house on every named model, with perturbed weights; fresh and trained ones are slow tests."""

import pytest
from adapted_instances import INSTANCES as ADAPTED
from flow_instances import INSTANCES as FLOWS
from sequential_instances import INSTANCES as SEQUENTIAL
from vae_instances import INSTANCES as VAES

from modelwright.generative.laws.law import Subject
from modelwright.generative.laws.table import LAWS

INSTANCES = {**VAES, **FLOWS, **SEQUENTIAL, **ADAPTED}

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("fresh", "trained")]


@pytest.fixture(scope="module", params=["perturbed", *SLOW])
def weights(request):
    return request.param


# a differential equation is solved for every entry of its laws' Jacobians, and Glow's layers compile long
DEAR = ("continuous", "Glow of labels", "VQVAE of labels")


def _instances():
    for name in INSTANCES:
        yield pytest.param(name, marks=pytest.mark.slow if name.startswith(DEAR) else ())


@pytest.fixture(scope="module", params=_instances())
def subject(request, weights):
    return Subject(*INSTANCES[request.param].made(weights))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_law(subject, law):
    if not law.applies(subject.model):
        return  # says nothing of this model: `test_every_law_says_something` sees that it does of another
    measured = law.measure(subject)
    assert measured.holds, f"{measured.words} {measured.figure:.3g}, at most {measured.tolerance:.3g}"


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_every_law_says_something(law):
    assert any(law.applies(instance.made()[0]) for instance in INSTANCES.values())
