"""Slots for the checkpoints of equal trainings: who takes which, and when they go."""

import pytest

from modelwright.core.locks import acquire
from modelwright.runs.store import RunStore
from modelwright.runs.unfinished import FOLDER, own_slot

RECIPE = "0123456789abcdef"
EMPTY = {"configuration": {}, "data": {}, "seeds": {}}


def stopped(slot, lock):
    slot.mkdir()
    (slot / "state").touch()
    lock.release()


def test_equal_trainings_have_slots_of_their_own_and_stopped_ones_are_gone_on_with(tmp_path) -> None:
    first, second = own_slot(tmp_path, RECIPE), own_slot(tmp_path, RECIPE)
    assert [slot.name for slot, _ in (first, second)] == [RECIPE, f"{RECIPE}-1"]
    stopped(*second)
    first[1].remove()  # it came to its end: its slot is free, but that of the one that was stopped comes before it
    again, lock = own_slot(tmp_path, RECIPE)
    assert again == second[0]
    assert own_slot(tmp_path, RECIPE)[0] == first[0]
    assert own_slot(tmp_path, "f" * 16)[0].name == "f" * 16
    lock.release()


def test_a_lock_that_was_removed_while_somebody_opened_it_is_taken_anew(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.lock"
    held = acquire(path)
    flock, asked = __import__("fcntl").flock, []

    def removed_meanwhile(handle, kind):
        if not asked:
            held.remove()
        asked.append(handle)
        flock(handle, kind)

    monkeypatch.setattr("fcntl.flock", removed_meanwhile)
    mine = acquire(path)
    assert len(asked) == 2
    assert path.is_file()  # of this name, so that a third finds it held
    assert acquire(path) is None
    mine.remove()
    assert not path.exists()


@pytest.mark.parametrize("ended", [True, False])
def test_checkpoints_go_with_the_last_run_that_was_stopped(tmp_path, ended) -> None:
    store = RunStore(tmp_path)
    with store.start("m", **EMPTY) as complete:
        pass
    with pytest.raises(KeyboardInterrupt), store.start("m", **EMPTY) as interrupted:
        raise KeyboardInterrupt
    folder = tmp_path / "models" / "m" / FOLDER
    stopped(*own_slot(folder, RECIPE))
    other, held = own_slot(folder, "f" * 16)
    other.mkdir()
    (folder / "mine").mkdir()
    store.remove(interrupted.id if ended else complete.id)
    left = {f"{'f' * 16}", f"{'f' * 16}.lock", "mine"}
    assert {path.name for path in folder.iterdir()} == (left if ended else left | {RECIPE, f"{RECIPE}.lock"})
    held.release()
