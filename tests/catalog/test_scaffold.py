"""A new model trains as it stands, by its script and by the catalog; nothing is overwritten, nothing half written."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from modelwright.catalog import scaffold
from modelwright.catalog.model_registry import ModelRegistry
from modelwright.catalog.scaffold import new_model
from modelwright.catalog.templates import _template_train
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError, StorageError
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore


def run_script(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = project / "bayesian_scripts" / "call_rates_train.py"
    # From another folder: the script finds its project by itself.
    return subprocess.run(
        [sys.executable, str(script), *options],
        cwd=project.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A project with one new model, trained once by its script."""
    pytest.importorskip("numpyro")
    project = tmp_path_factory.mktemp("scaffold")
    new_model("call_rates", project)
    return project, run_script(project, "--draws", "300", "--tune", "300", "--chains", "2", "--seed", "3", "--cpu")


# The files ------------------------------------------------------------------------------------------------------------


def test_four_files_are_written_and_the_script_is_last(project):
    written = [str(path.relative_to(project)) for path in new_model("call_rates", project)]
    assert written == [
        "bayesian_models/call_rates/config.yaml",
        "bayesian_models/call_rates/call_rates.py",
        "bayesian_models/call_rates/call_rates_data.py",
        "bayesian_scripts/call_rates_train.py",
    ]
    found = sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file())
    assert found == sorted(written)  # nothing temporary is left
    assert ModelRegistry(project).get_model_metadata("call_rates").name == "Call rates"


GOOD_NAMES = ["calls", "a", "my_model_2", "yes", "null", "model", "data", "numpy", "modelwright", "x" * 63]
NAMES_OF_ITS_OWN = ["template_model", "base_bayesian_model", "grouped_counts", "built_model", "path", "any", "table"]


@pytest.mark.parametrize("model_id", [*GOOD_NAMES, *NAMES_OF_ITS_OWN])
def test_every_good_name_gives_a_model_that_loads(project, model_id):
    new_model(model_id, project)
    model = ModelRegistry(project).load_model_instance(model_id)
    table = project / "counts.csv"
    table.write_text("group,x,count\na,1,2\n")
    assert model.build(model.load_data()).arguments["count"].size == 360
    assert model.build(model.load_data(data=str(table))).arguments["count"].size == 1
    assert model.metadata.status == "beta"


def test_no_trace_of_the_template_is_left(project):
    for path in new_model("call_rates", project):
        text = path.read_text()
        assert "template" not in text.lower(), path
        if path.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("model_id", ["", "Calls", "my-model", "../up", "a/b", "1st", "con", "a" * 64, "a b", None, 3])
def test_bad_name_is_refused(project, model_id):
    with pytest.raises(ConfigurationError, match="not a usable name"):
        new_model(model_id, project)
    assert list(project.iterdir()) == []


def test_word_of_the_language_is_refused(project):
    with pytest.raises(ConfigurationError, match="a word of the Python language; expected another name, got 'class'"):
        new_model("class", project)


def test_project_must_exist(tmp_path):
    with pytest.raises(NotFoundError, match="there is no project folder"):
        new_model("calls", tmp_path / "gone")


def test_nothing_is_overwritten(project):
    new_model("calls", project)
    config = project / "bayesian_models" / "calls" / "config.yaml"
    config.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        new_model("calls", project)
    assert config.read_text() == "mine"


def test_script_of_another_model_is_not_overwritten(project):
    script = project / "bayesian_scripts" / "calls_train.py"
    script.parent.mkdir()
    script.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"calls_train\.py exists already"):
        new_model("calls", project)
    assert script.read_text() == "mine"
    assert not (project / "bayesian_models").exists()


def test_name_of_a_model_elsewhere_is_refused(project):
    with pytest.raises(ConfigurationError, match="the package has a model of this id already"):
        new_model("event_rates", project)


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_a_disk_that_fills_leaves_nothing(project, monkeypatch, fails_at):
    written = []
    real = scaffold.write_text

    def full(path: Path, content: str) -> Path:
        written.append(path)
        if len(written) == fails_at:
            raise StorageError("the disk is full")
        return real(path, content)

    monkeypatch.setattr(scaffold, "write_text", full)
    with pytest.raises(StorageError):
        new_model("calls", project)
    assert [path for path in project.rglob("*") if path.is_file()] == []
    assert not (project / "bayesian_models" / "calls").exists()
    monkeypatch.undo()
    assert len(new_model("calls", project)) == 4


# The training ---------------------------------------------------------------------------------------------------------


def test_script_trains_and_says_its_steps(trained):
    project, done = trained
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stderr.splitlines() if line[:2] in ("1.", "2.", "3.", "4.", "5.")]
    assert [step.split()[1] for step in steps] == ["load", "build", "sample", "check", "save"]
    assert "verdict: " in done.stdout
    (record,) = RunStore(project).list()
    assert record.run_id in done.stdout
    assert record.status is RunStatus.COMPLETE
    assert record.has_trace
    assert record.report_html.is_file()
    assert record.manifest.seeds == {"seed": 3}
    assert record.manifest.configuration["settings"]["draws"] == 300
    assert ModelRegistry(project).get_model_status("call_rates")["is_trained"]


def test_template_recovers_what_its_data_were_simulated_with(trained):
    project, _ = trained
    model = ModelRegistry(project).load_model_instance("call_rates")
    posterior = RunStore(project).get("latest").trace().posterior
    for name, truth in model.load_data().truth.items():
        draws = posterior[name].values
        # Within three posterior standard deviations: the data are random, and a wrong model is tens away.
        assert abs(draws.mean() - truth) < 3 * draws.std(), name


def test_template_predicts_known_and_new_groups(trained):
    project, _ = trained
    model = ModelRegistry(project).load_model_instance("call_rates")
    known = model.predict({"group": "group_03", "x": "0.5", "interval": 0.9})
    (interval,) = known["credible_intervals"]
    assert interval["lower"] < known["predictions"][0]["mean"] < interval["upper"]
    posterior = RunStore(project).get("latest").trace().posterior
    exact = np.exp(posterior["level"].sel(group="group_03") + 0.5 * posterior["slope"])
    assert known["predictions"][0]["mean"] == pytest.approx(float(exact.mean()), rel=1e-10)  # the same formula
    new = model.predict({"group": "nobody", "x": 0.5, "interval": 0.9})
    width = {name: a["credible_intervals"][0]["upper"] - a["credible_intervals"][0]["lower"] for name, a in
             (("known", known), ("new", new))}  # fmt: skip
    assert width["new"] > 2 * width["known"]  # a new group has the spread of the population on top
    assert new["notes"] == ["group 'nobody' was never seen; predicted from the population of groups"]
    assert model.predict({"group": "nobody", "x": 0.5, "interval": 0.9}) == new  # asked twice, answered once
    assert model.predict({"x": 0.5})["notes"] == ["no group given; predicted from the population of groups"]
    assert model.predict({"x": 11})["error"] == "x: too large; expected a number from -10 to 10, got 11"


def test_training_through_the_catalog_gives_the_same_draws(trained):
    project, _ = trained
    model = ModelRegistry(project).load_model_instance("call_rates")
    result = model.train(model.load_data(), draws=300, tune=300, chains=2, seed=3)
    runs = RunStore(project).list("call_rates")
    assert runs[0].run_id == result["run_id"]
    assert runs[0].metrics == runs[-1].metrics


def test_asking_loads_no_sampler(trained):
    project, _ = trained
    program = (
        "import sys; from modelwright.catalog.model_registry import ModelRegistry;"
        f"m = ModelRegistry({str(project)!r}).load_model_instance('call_rates');"
        "assert 'error' not in m.predict({'x': 0});"
        "print([name for name in ('jax', 'numpyro', 'pymc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The script's manners -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--draws", "0"], "argument --draws: expected an integer from 1 to 10000000, got '0'"),
        (["--draws", "1.5"], "argument --draws: expected an integer from 1 to 10000000, got '1.5'"),
        (["--target-accept", "nan"], "argument --target-accept: expected a number from 0.1 to 0.999, got 'nan'"),
        (["--chains", "many"], "argument --chains: expected an integer from 1 to 1024, got 'many'"),
        (["--gpu", "--cpu"], "not allowed with argument"),
    ],
)
def test_script_refuses_wrong_options(capsys, options, sentence):
    with pytest.raises(SystemExit) as stop:
        _template_train.parse_arguments(options)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_script_refuses_wrong_data_and_an_absent_device(project, monkeypatch, capsys):
    new_model("template_model", project)
    monkeypatch.setattr(_template_train, "PROJECT", project)

    def ended(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *options])
        return _template_train.main(), capsys.readouterr().err

    code, error = ended("--data", "gone.csv")
    assert (code, error.splitlines()[-1]) == (6, "template_model: data: there is no file gone.csv")
    (project / "counts.csv").write_text("group,x,count\na,1.0,-3\n")
    code, error = ended("--data", "counts.csv")
    assert code == 3
    assert "line 2 cannot be used; expected group, finite x, count >= 0" in error
    jax = pytest.importorskip("jax")
    if all(device.platform == "cpu" for device in jax.devices()):
        code, error = ended("--gpu")
        assert code == 2
        assert "no GPU: looked for JAX devices of platform gpu" in error
        assert "1. load" not in error  # refused before any work
    assert RunStore(project).list() == []


def test_interrupt_ends_with_130_and_a_sentence(tmp_path):
    pytest.importorskip("numpyro")
    new_model("call_rates", tmp_path)
    script = tmp_path / "bayesian_scripts" / "call_rates_train.py"
    command = [sys.executable, str(script), "--draws", "1000000", "--tune", "100000", "--chains", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, bufsize=1) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("3."):
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=120) == 130, rest
    # the script's own sentence, or on a busy machine that of the way out which is forced after three seconds
    assert rest.strip() in (
        "call_rates: interrupted; the run is kept as interrupted, earlier ones are untouched",
        "modelwright: interrupted; what had begun is kept as an interrupted run",
    )
    assert [record.status for record in RunStore(tmp_path).list()] == [RunStatus.INTERRUPTED]


# The data -------------------------------------------------------------------------------------------------------------


def read_counts(project: Path, content: str):
    new_model("calls", project)
    path = project / "counts.csv"
    path.write_text(content)
    return ModelRegistry(project).load_model_instance("calls").load_data(data=str(path))


def test_csv_is_read(project):
    data = read_counts(project, "x,count,group\n0.5,3,b\n-1,0,a\n2,7,b\n")
    assert data.groups == ("a", "b")
    assert data.group_idx.tolist() == [1, 0, 1]
    assert data.x.tolist() == [0.5, -1.0, 2.0]
    assert data.count.tolist() == [3, 0, 7]
    assert data.truth is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("grp,x,count\na,1,2\n", "has no column 'group'; did you mean 'grp'"),
        ("", "has no column 'group'; none are known"),
        ("group,x,count\n", "has no rows"),
        ("group,x,count\na,1,2.5\n", "line 2 cannot be read"),
        ("group,x,count\na,1\n", "line 2 cannot be read"),
        ("group,x,count\na,1,2\na,nan,2\n", "line 3 cannot be used"),
        ("group,x,count\n,1,2\n", "line 2 cannot be used"),
    ],
)
def test_csv_that_cannot_be_used_is_refused_by_line(project, content, sentence):
    with pytest.raises(DataError) as caught:
        read_counts(project, content)
    assert sentence in str(caught.value)
    assert caught.value.field == "data"
