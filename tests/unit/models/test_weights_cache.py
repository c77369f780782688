import multiprocessing
import time
from functools import partial

import pytest

from models.weights.cache import STAMP, WeightsError, converted_once, silent


def convert(folder, report, content=b"weights"):
    report("writing", 0.5)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text("{}")


def test_a_folder_is_converted_once(tmp_path):
    stages = []
    first = converted_once(tmp_path / "m", "org/m", convert, lambda what, share: stages.append((what, share)))
    second = converted_once(tmp_path / "m", "org/m", _never, silent)
    assert first == second
    assert stages == [("writing", 0.5)]
    assert first.path == tmp_path / "m"


def test_an_interrupted_conversion_leaves_nothing(tmp_path):
    def interrupted(folder, _report):
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted_once(tmp_path / "m", "org/m", interrupted, silent)
    assert [path.name for path in tmp_path.iterdir()] == [".m.lock"]


def test_what_a_killed_conversion_left_is_removed(tmp_path):
    leftover = tmp_path / ".m.x.partial"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    converted_once(tmp_path / "m", "org/m", convert, silent)
    assert not leftover.exists()


@pytest.mark.parametrize("harm", ["changed", "truncated", "missing", "no-stamp", "other-model"])
def test_a_folder_that_is_not_what_was_stamped_is_converted_again(tmp_path, harm):
    folder = converted_once(tmp_path / "m", "org/m", convert, silent).path
    weights = folder / "model.safetensors"
    match harm:
        case "changed":
            weights.write_bytes(b"WEIGHTS")
        case "truncated":
            weights.write_bytes(b"weigh")
        case "missing":
            weights.unlink()
        case "no-stamp":
            (folder / STAMP).unlink()
    model = "org/other" if harm == "other-model" else "org/m"
    again = converted_once(folder, model, partial(convert, content=b"new"), silent)
    assert (again.path / "model.safetensors").read_bytes() == b"new"


def test_a_new_date_alone_costs_a_hash_and_no_conversion(tmp_path):
    folder = converted_once(tmp_path / "m", "org/m", convert, silent).path
    (folder / "model.safetensors").touch()
    converted_once(folder, "org/m", _never, silent)


def test_two_processes_convert_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_convert_slowly, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_a_failing_conversion_says_why(tmp_path):
    def broken(_folder, _report):
        raise WeightsError("no network", action="connect")

    with pytest.raises(WeightsError, match="no network"):
        converted_once(tmp_path / "m", "org/m", broken, silent)
    assert not (tmp_path / "m").exists()


def _convert_slowly(root):
    def slow(folder, report):
        time.sleep(0.3)
        with (root / "log").open("a") as stream:
            stream.write("converted\n")
        convert(folder, report)

    converted_once(root / "m", "org/m", slow, silent)


def _never(_folder, _report):
    raise AssertionError("converted again")
