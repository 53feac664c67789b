"""Installed packages bring families: on the command line, in files of the zoo, and never by what a file says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelwright.core.errors import ConfigurationError
from modelwright.factory.model_types import ModelTypeRegistry
from modelwright.factory.plug_ins import add_installed_families

MODEL = """
print("IMPORTED", file=__import__("sys").stderr)
import jax
import jax.numpy as jnp
from flax import nnx
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Loss

class DiagonalFlow(AbstractGenerativeModel):
    family = "gaussian"
    offers = frozenset({"sample", "log_prob"})
    log_prob_kind = "exact"

    def __init__(self, n):
        self.mean = nnx.Param(jnp.zeros(n))
        self.log_scale = nnx.Param(jnp.zeros(n))
        self.example_shape = (n,)

    def loss(self, batch, *, key, step):
        return Loss(-self.log_prob(batch.x).mean(), {})

    def log_prob(self, x, *, key=None, cond=None):
        z = (x - self.mean[...]) * jnp.exp(-self.log_scale[...])
        return LogProb((-0.5 * z**2 - self.log_scale[...] - 0.5 * jnp.log(2 * jnp.pi)).sum(-1), "exact")

    def sample(self, n, *, key, cond=None):
        return self.mean[...] + jnp.exp(self.log_scale[...]) * jax.random.normal(key, (n, *self.example_shape))

class Builder:
    def build(self, config, *, rngs, **kwargs):
        return DiagonalFlow(config.input_dim[0])

def register(registry):
    registry.register("gaussian", Builder(), patterns=["Gaussian"])

def nothing(registry):
    pass

def fails(registry):
    raise RuntimeError("no licence")
"""
ENTRY = """
name: mine
model_class: gaussian_pkg.gaussian.DiagonalFlow
type: gaussian
description: A normal distribution.
input_dim: 2
metadata: {training_defaults: {batch_size: 100, learning_rate: 0.05, steps: 60}}
expected: {metric: nats, value: 2.8, tolerance: 0.2, minutes: 1, data: moons}
"""
SOUND = "gaussian = gaussian_pkg.families:register"


class Echo:
    def build(self, config, *, rngs, **kwargs): ...


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with one that brings a family."""
    site = tmp_path / "site"
    (site / "gaussian_pkg").mkdir(parents=True)
    (site / "gaussian_pkg" / "__init__.py").touch()
    (site / "gaussian_pkg" / "families.py").write_text(MODEL, encoding="utf-8")
    return site


def install(site: Path, *points: str, package: str = "gaussian-pkg") -> None:
    """What pip leaves behind: a dist-info folder with metadata and entry points."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelwright.families]\n" + "\n".join(points) + "\n")


def modelwright(site: Path, cwd: Path, *words: str, code: int = 0) -> tuple[str, str]:
    # A process of its own: what is imported here must not stay in this one.
    path = os.pathsep.join(part for part in (str(site), os.environ.get("PYTHONPATH")) if part)
    env = {**os.environ, "PYTHONPATH": path, "MODELWRIGHT_ZOO": str(cwd / "zoo")}
    done = subprocess.run(
        [sys.executable, "-m", "modelwright", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def cwd(project: Path) -> Path:
    (project / "zoo" / "toy").mkdir(parents=True)
    (project / "zoo" / "toy" / "mine.yaml").write_text(ENTRY, encoding="utf-8")
    return project


def test_an_installed_family_stands_in_the_zoo_trains_and_certifies(site, cwd):
    install(site, SOUND)
    out, err = modelwright(site, cwd, "zoo", "list", "--json")
    assert "mine" in {entry["name"] for entry in json.loads(out)}
    assert "IMPORTED" not in err  # nothing runs until it is used
    out, err = modelwright(site, cwd, "train", "mine", "--quiet")
    assert err.count("IMPORTED") == 1
    out, _ = modelwright(site, cwd, "certify", "mine", "--json")
    document = json.loads(out)
    assert document["weights"].startswith("run ")
    assert document["laws"]
    assert all(law["holds"] for law in document["laws"])


def test_a_broken_plug_in_is_an_error_that_names_it(site, cwd):
    install(site, "gaussian = gaussian_pkg.families:fails")
    _, err = modelwright(site, cwd, "explain", "mine", code=2)
    assert "the plug-in gaussian-pkg cannot add the family 'gaussian' by gaussian_pkg.families:fails" in err
    assert "RuntimeError: no licence" in err


@pytest.fixture
def forgotten():
    """What is imported here is forgotten again, for the next test brings its own package of that name."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "gaussian_pkg"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("gaussian = gaussian_pkg.families", "expected 'module:function', got 'gaussian_pkg.families'"),
        ("gaussian = gaussian_pkg.families:absent", "AttributeError: .*absent"),
        ("gaussian = no_such_package:register", "ModuleNotFoundError: .*no_such_package"),
        ("gaussian = gaussian_pkg.families:nothing", "the function registers no type of this name"),
        ("echo = gaussian_pkg.families:register", "a builder is registered for this type already"),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_every_way_to_be_broken_says_so_and_hides_no_other(site, monkeypatch, point, message):
    install(site, point)
    monkeypatch.syspath_prepend(str(site))
    registry = ModelTypeRegistry(more=add_installed_families)
    registry.register("echo", Echo())
    model_class = f"x.{point.partition(' ')[0]}.Net"
    if model_class != "x.echo.Net":
        for _ in range(2):  # the second time, too
            with pytest.raises(ConfigurationError, match=f"the plug-in gaussian-pkg cannot add .*{message}"):
                registry.builder_for(model_class)
    else:
        with pytest.raises(ConfigurationError, match=rf"No builder registered for type 'unknown'.*{message}"):
            registry.builder_for("x.other.Net")
    assert registry.type_of("x.echo.Net") == "echo"
    assert isinstance(registry.builder_for("x.echo.Net"), Echo)


@pytest.mark.usefixtures("forgotten")
def test_a_family_of_the_house_does_not_take_what_an_installed_one_brings(site, monkeypatch):
    install(site, SOUND)
    monkeypatch.syspath_prepend(str(site))
    registry = ModelTypeRegistry(more=add_installed_families)
    registry.register("flow", Echo(), patterns=["Flow"])
    assert registry.type_of("x.flow.Net") == "flow"
    assert "gaussian" not in registry.builders  # not looked for yet
    assert registry.type_of("gaussian_pkg.gaussian.DiagonalFlow") == "gaussian"
    assert registry.type_of("x.GaussianNet") == "gaussian"
