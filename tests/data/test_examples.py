"""Sets and files of examples: shared out for a training, or whole and in their order."""

import contextlib
import gzip
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright.core.errors import DataError, NotFoundError
from modelwright.data.examples import EXAMPLE_SETS, load_examples, load_whole

TEXT = "".join(f"Line {k} of a text with some words in it.\n" for k in range(40))


@pytest.mark.parametrize("name", EXAMPLE_SETS)
def test_parts_of_a_set_are_rows_of_the_whole(name):
    split, whole = load_examples(name), load_whole(name)
    parts = (split.train, split.valid, split.test)
    assert sorted(row for part in parts for row in part.rows) == list(range(len(whole)))
    for part in parts:
        if isinstance(whole.x, str):
            assert part.x == whole.x[part.rows[0] : part.rows[-1] + 1]
        else:
            assert (part.x == whole.x[part.rows]).all()
        assert part.labels is None or (part.labels == whole.labels[part.rows]).all()


def test_a_whole_built_in_set_is_in_the_order_of_its_source():
    sklearn = pytest.importorskip("sklearn.datasets")
    source, whole = sklearn.load_digits(), load_whole("digits")
    assert (whole.x[..., 0] == source.images).all()
    assert (whole.labels == source.target).all()


def test_a_whole_file_has_every_row_in_order(tmp_path):
    x = np.arange(42.0).reshape(21, 2)
    np.save(tmp_path / "x.npy", x)
    assert (load_whole(tmp_path / "x.npy").x == x).all()
    assert load_whole(tmp_path / "x.npy").rows.tolist() == list(range(21))
    test = load_examples(tmp_path / "x.npy").test
    assert (test.x == x[test.rows]).all()


@pytest.mark.parametrize("part", ["train", "valid", "test"])
@pytest.mark.parametrize("changed", ["x", "labels"])
def test_a_description_notices_what_changes(part, changed):
    split = load_examples("digits")
    other = getattr(split, part)
    values = getattr(other, changed).copy()
    values.flat[-1] ^= 1
    before = split.describe()
    after = replace(split, **{part: replace(other, **{changed: values})}).describe()
    different = "crc32" if (part, changed) == ("train", "x") else "crc32_rest"
    assert {name for name in before if before[name] != after[name]} == {different}


def test_a_file_of_few_rows_can_be_asked_about_though_not_trained_on(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    assert len(load_whole(tmp_path / "x.npy")) == 3
    with pytest.raises(DataError, match="too few examples to share out"):
        load_examples(tmp_path / "x.npy")


def test_parts_of_a_file_are_counted_through(tmp_path):
    x = np.arange(60.0).reshape(30, 2)
    y = np.arange(30)
    # The part that is reported on comes first in the file; what is trained on is still counted first.
    np.savez(tmp_path / "x.npz", x_test=x[20:], y_test=y[20:], x_train=x[:20], y_train=y[:20])
    whole, split = load_whole(tmp_path / "x.npz"), load_examples(tmp_path / "x.npz")
    assert (whole.x == x).all()
    assert (whole.labels == y).all()
    assert split.test.rows.tolist() == list(range(20, 30))
    assert (split.test.x == x[20:]).all()
    assert sorted([*split.train.rows, *split.valid.rows]) == list(range(20))


def test_parts_that_are_not_alike_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=np.ones((20, 2)), x_test=np.ones((5, 3)))
    with pytest.raises(DataError, match=r"the parts of x.npz are not alike; expected .* got '\(2,\), \(3,\)'"):
        load_whole(tmp_path / "x.npz")


def test_a_whole_text_is_the_text(tmp_path):
    (tmp_path / "x.txt").write_text(TEXT, encoding="utf-8")
    assert load_whole(tmp_path / "x.txt").x == TEXT
    test = load_examples(tmp_path / "x.txt").test
    assert test.x == TEXT[test.rows[0] :]


@pytest.mark.parametrize("first", ["0.5,1.5", "0,0", "1e-3,nan", "0,1"], ids=["numbers", "twice", "odd", "counted"])
def test_a_table_without_a_header_is_refused_before_its_first_row_is_lost(tmp_path, first):
    (tmp_path / "x.csv").write_text(first + "\n" + "1.0,2.0\n" * 20, encoding="utf-8")
    with pytest.raises(DataError, match=r"the first line of x.csv holds numbers .*; add a header, .* such as x0,x1"):
        load_whole(tmp_path / "x.csv")


def test_a_table_with_a_header_has_all_its_rows(tmp_path):
    (tmp_path / "x.csv").write_text("width,2\n" + "1.0,2.0\n" * 20, encoding="utf-8")
    assert load_whole(tmp_path / "x.csv").x.shape == (20, 2)


# Files that are damaged -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A file of each kind as it was before it was damaged."""
    folder = tmp_path_factory.mktemp("sound")
    x, words = np.arange(200.0).reshape(50, 4), np.random.default_rng(0).integers(97, 123, 3000).astype(np.uint8)
    np.save(folder / "x.npy", x)
    np.savez_compressed(folder / "x.npz", x=x, y=np.arange(50))
    (folder / "x.txt.gz").write_bytes(gzip.compress(words.tobytes()))
    (folder / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (k, k * k) for k in range(500))))
    return folder


NAMES = ("x.npy", "x.npz", "x.txt.gz", "x.csv.gz")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_is_a_fault_of_the_data(sound, tmp_path, name):
    content = (sound / name).read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=f"data: {name}"):
            load_whole(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_byte_is_a_fault_of_the_program(sound, tmp_path, name, data):
    content = bytearray((sound / name).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / name).write_bytes(content)
    with contextlib.suppress(DataError):
        load_whole(tmp_path / name)


def test_bytes_flipped_inside_a_compressed_text_are_damage(sound, tmp_path):
    content = bytearray((sound / "x.txt.gz").read_bytes())
    content[300:310] = bytes(10)
    (tmp_path / "x.txt.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"data: x.txt.gz is damaged: .*; fetch or compress it again"):
        load_whole(tmp_path / "x.txt.gz")


def test_an_archive_of_other_things_than_arrays_is_refused(sound, tmp_path):
    (tmp_path / "x.npz").write_bytes((sound / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("notes.txt", "of whom")
    with pytest.raises(DataError, match=r"data: 'notes.txt' in x.npz is no array; expected an archive of arrays"):
        load_whole(tmp_path / "x.npz")


def test_labels_that_are_no_labels_of_the_examples_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones((20, 2)), y=3)
    with pytest.raises(DataError, match=r"data: x.npz has a single label for 20 examples"):
        load_whole(path)
    np.savez(path, x=np.ones((20, 2)), y=np.ones(3))
    with pytest.raises(DataError, match=r"data: x.npz has 3 labels for 20 examples"):
        load_whole(path)
    parts = {"x_train": np.ones((20, 2)), "x_test": np.ones((5, 2))}
    np.savez(path, **parts, y_train=np.ones(20), y_test=np.ones((5, 1)))
    with pytest.raises(DataError, match=r"data: the parts of x.npz are not alike; expected .* labels of one shape"):
        load_whole(path)


def test_a_name_that_no_disk_takes_is_not_found():
    with pytest.raises(NotFoundError, match=r"data: cannot be opened: File name too long; got 'nnn"):
        load_examples("n" * 300)
    with pytest.raises(NotFoundError, match="data: no set of examples and no file"):
        load_examples("a\0b")


def test_a_file_of_no_known_kind_is_told_which_are_known(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"is of no known kind; expected \.npy, \.npz, \.csv, \.csv\.gz, \.txt or"):
        load_whole(tmp_path / "x.parquet")
