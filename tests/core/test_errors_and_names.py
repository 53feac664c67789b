"""Wording: a refusal names the field, what was expected, what came and what to do."""

import pytest

from modelwright.core.errors import (
    ConfigurationError,
    DataError,
    NotFoundError,
    StorageError,
    UntrustedError,
)
from modelwright.core.names import check_identifier, nearest, suggestion
from modelwright.core.progress import ProgressEvent
from modelwright.core.registry import Registry
from modelwright.core.seeds import check_seed, named_generator, named_seed
from modelwright.core.verdict import Finding, Grade, Verdict


def test_every_part_of_a_refusal_is_in_its_sentence_and_its_document() -> None:
    error = DataError("is negative", field="count", expected="0, 1, 2, ...", got=-3, todo="mend row 7")
    assert str(error) == "count: is negative; expected 0, 1, 2, ..., got -3; mend row 7"
    assert error.as_document() == {
        "error": "DataError",
        "message": str(error),
        "field": "count",
        "expected": "0, 1, 2, ...",
        "got": "-3",
        "todo": "mend row 7",
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ConfigurationError, 2), (DataError, 3), (UntrustedError, 4), (NotFoundError, 6), (StorageError, 74)],
)
def test_exit_codes_are_the_documented_ones(kind: type, code: int) -> None:
    assert kind.exit_code == code


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "../a", "a/b", "a\n", "a" * 64, "é", None, 3])
def test_an_identifier_that_could_not_be_a_folder_is_refused(name: object) -> None:
    with pytest.raises(ConfigurationError, match="model: not a usable name"):
        check_identifier(name, field="model")  # type: ignore[arg-type]


def test_a_suggestion_names_the_nearest_and_a_bounded_list() -> None:
    assert nearest("timestmp", ["timestamp", "user"]) == "timestamp"
    assert suggestion("x", [f"name_{i}" for i in range(30)]).endswith("and 18 more")
    assert suggestion("x", []) == "none are known"


def test_a_registry_refuses_a_second_thing_of_one_name() -> None:
    table: Registry[int] = Registry("engine")
    table.add("numpyro", 1)
    with pytest.raises(ConfigurationError, match="numpyro: a engine of this name is registered already"):
        table.add("numpyro", 2)


def test_a_lazy_entry_is_imported_when_first_asked_for() -> None:
    table: Registry[object] = Registry("thing")
    table.add_lazy("event", "modelwright.core.progress:ProgressEvent")
    assert table["event"] is ProgressEvent
    with pytest.raises(ConfigurationError, match="module:attribute"):
        table.add_lazy("bad", "no_colon")


def test_a_string_is_a_thing_like_any_other() -> None:
    table: Registry[str] = Registry("word")
    table.add("a", "module:attribute")
    assert table["a"] == "module:attribute"


def test_named_streams_are_reproducible_and_differ() -> None:
    assert named_seed(1, "a") == named_seed(1, "a")
    assert len({named_seed(1, "a"), named_seed(1, "b"), named_seed(2, "a")}) == 3
    assert named_generator(1, "a").integers(1 << 30) == named_generator(1, "a").integers(1 << 30)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1", None])
def test_what_is_not_a_seed_is_refused(seed: object) -> None:
    with pytest.raises(ConfigurationError, match="seed: not a seed; expected an integer from 0 to"):
        check_seed(seed)


def finding(grade: Grade) -> Finding:
    return Finding("f", "figure", 1.0, grade, "good below 1", f"sentence {grade}", "do this")


@pytest.mark.parametrize(
    ("grades", "worst"),
    [
        ([], Grade.UNKNOWN),
        ([Grade.GOOD], Grade.GOOD),
        ([Grade.GOOD, Grade.UNKNOWN], Grade.UNKNOWN),
        ([Grade.UNKNOWN, Grade.WARNING, Grade.GOOD], Grade.WARNING),
        ([Grade.PROBLEM, Grade.WARNING], Grade.PROBLEM),
    ],
)
def test_a_verdict_is_as_bad_as_its_worst_finding(grades: list[Grade], worst: Grade) -> None:
    verdict = Verdict.of(finding(grade) for grade in grades)
    assert verdict.grade is worst
    assert verdict.sentence.startswith(str(worst))
    assert Verdict.from_document(verdict.as_document()) == verdict
