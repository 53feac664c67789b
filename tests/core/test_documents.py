"""Descriptions that somebody else wrote: read within bounds, refused with the line."""

import contextlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelwright.configuration import ModelConfiguration
from modelwright.core.documents import LARGEST_FILE, parse_json, parse_yaml, read_json, read_text, read_yaml
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError, StorageError

REFUSED = {
    "an alias": "a: &x [1]\nb: *x",
    "a tag": "a: !!python/object/apply:os.system [ls]",
    "a standard tag": "a: !!binary aGk=",
    "a duplicate key": "a: 1\na: 2",
    "a list": "- 1\n- 2",
    "a scalar": "3",
    "nothing": "",
    "deep nesting": "a: " + "[" * 30 + "]" * 30,
    "two documents": "a: 1\n---\nb: 2",
    "a complex key": "? [1, 2]\n: 3",
    "a merge key": "a: &x {b: 1}\nc:\n  <<: *x",
    "a control character": "a: \x00",
    "an impossible date": "a: 2001-99-99",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_yaml_that_is_not_a_plain_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        parse_yaml(text, source="config.yaml")


def test_the_line_of_a_duplicate_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"config\.yaml at line 3: the key 'a' stands twice"):
        parse_yaml("a: 1\nb: 2\na: 3\n", source="config.yaml")


def test_a_bomb_of_aliases_is_refused_before_it_expands() -> None:
    levels = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(ConfigurationError, match="anchors and aliases are not read"):
        parse_yaml("\n".join(levels), source="bomb.yaml")


@given(st.text(max_size=200))
def test_no_text_brings_down_the_yaml_reader(text: str) -> None:
    with contextlib.suppress(ModelwrightError):
        assert isinstance(parse_yaml(text, source="x"), dict)


@given(st.text(max_size=200))
def test_no_text_brings_down_the_json_reader(text: str) -> None:
    with contextlib.suppress(ModelwrightError):
        assert isinstance(parse_json(text, source="x"), dict)


@pytest.mark.parametrize("text", ["1:30", "-1:30", "1:30:00.5", "190:20:30", "1" + ":00" * 300 + ".0"])
def test_numbers_to_the_base_of_60_stay_text(text: str) -> None:
    assert parse_yaml(f"a: {text}", source="x") == {"a": text}
    assert parse_yaml(f"{text}: a", source="x") == {text: "a"}


@given(st.integers() | st.floats(allow_nan=False))
def test_other_numbers_stay_numbers(number: float) -> None:
    assert parse_yaml(yaml.safe_dump({"a": number}), source="x") == {"a": number}


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not JSON"):
        parse_json("[" * 100_000, source="m.json")


def test_a_duplicate_key_in_json_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'a' stands twice"):
        parse_json('{"a": 1, "a": 2}', source="m.json")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        read_yaml(tmp_path / "config.yaml")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigurationError, match="too large"):
        read_text(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_text(path)


@pytest.mark.parametrize("read", [read_text, read_yaml, read_json, ModelConfiguration.from_file])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(read, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="is not a file; expected a regular file"):
            read(path)


def test_a_path_that_no_disk_takes_is_a_refusal(tmp_path: Path) -> None:
    for name in ("a\0b", "n" * 300):
        with pytest.raises(StorageError, match="cannot read"):
            read_text(tmp_path / name)
