from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from offline.dataset import Label, average
from offline.training.adapter import export_adapter, load_trunk
from offline.training.batches import micro_batches, pad, steps
from offline.training.gemma import Trunk
from offline.training.joint_model import Corpus, validate
from offline.training.recipes import Training
from offline.training.schedule import Schedule
from offline.training.targets import build_targets
from offline.training.trunk import TrunkTrainer
from tests.unit.offline.tiny_gemma import tiny_spec, write_tiny_gemma


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products this small are slower on two threads, and waiting threads stall on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gemma(tmp_path_factory.mktemp("gemma"))


def make_corpus(count: int = 40) -> Corpus:
    rng = np.random.default_rng(3)
    spec = tiny_spec()
    tokens = [[2, *rng.integers(3, 64, size=rng.integers(3, 20)).tolist(), 1] for _ in range(count)]
    ids = [str(i) for i in range(count)]
    labels = [
        Label(ids[i], spec.name, "v1", {"warmth": 8.0 * (7 in tokens[i]), "depth": float(len(tokens[i]) % 5)}, "a")
        for i in range(count)
    ]
    other = tiny_spec("wisdom")
    some = [replace(label, filter="wisdom") for label in labels[::3]]
    rated = [(spec, average(labels, spec.dimension_names)), (other, average(some, other.dimension_names))]
    targets = build_targets(ids, rated, {}, set(ids[:30]))
    embeddings = torch.from_numpy(rng.normal(size=(count, 8)).astype(np.float32))
    return Corpus(tokens, embeddings, targets, [(list(range(30)), 1.0)], list(range(30, count)))


def make_trainer(base: Path, folder: Path, **changes: object) -> TrunkTrainer:
    recipe = Training(steps=12, rank=2, alpha=4, batch_size=8, token_budget=64, warmup_steps=2, **changes)
    return TrunkTrainer(Trunk(base, 2, 4, torch.float32), make_corpus(), recipe, folder)


def test_trunk_equals_transformers(base: Path) -> None:
    trunk = Trunk(base, 2, 4.0, torch.float32)
    reference = AutoModel.from_pretrained(base, dtype=torch.float32)
    tokens = [[2, 9, 30, 4, 1], [2, 8, 1], [2, *range(3, 20), 1]]
    batch = pad([0, 1, 2], tokens)
    with torch.no_grad():
        found = trunk(batch.ids, batch.lengths)
        for row, ids in zip(found, tokens, strict=True):
            expected = reference(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


def test_exported_adapter_gives_the_same_states_through_peft(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import Gemma3ForCausalLM

    trainer = make_trainer(base, tmp_path / "run")
    trainer.run(lambda progress: None)
    trunk = trainer.model.trunk
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float())
    export_adapter(trunk, tmp_path / "adapter", 2, 4.0, "tiny")
    model = PeftModel.from_pretrained(Gemma3ForCausalLM.from_pretrained(base), tmp_path / "adapter")
    ids = [2, 7, 21, 40, 1]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
        found = load_trunk(base, tmp_path / "adapter", torch.float32)(torch.tensor([ids]), torch.tensor([5]))[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_only_the_top_layers_learn_where_the_recipe_says_so(base: Path, tmp_path: Path) -> None:
    recipe = Training(steps=2, rank=2, alpha=4, batch_size=8, token_budget=64, warmup_steps=2, top_layers=1)
    trunk = Trunk(base, 2, 4, torch.float32)
    trunk.adapt_top(1)
    trainer = TrunkTrainer(trunk, make_corpus(), recipe, tmp_path / "run")
    trainer.run(lambda progress: None)
    learned = {name.split(".")[1] for name, _, _, b in trunk.lora() if b.abs().sum() > 0}
    assert learned == {str(trunk.shape.layers - 1)}


def test_loss_falls(base: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    make_trainer(base, tmp_path / "run").run(lambda progress: losses.append(progress.loss))
    assert len(losses) == 12
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_a_killed_run_ends_where_an_unbroken_one_does(base: Path, tmp_path: Path) -> None:
    whole = make_trainer(base, tmp_path / "whole")
    whole.run(lambda progress: None)

    class Killed(Exception):
        pass

    def kill_at_five(progress: object) -> None:
        if progress.step == 5:  # type: ignore[attr-defined]
            raise Killed

    broken = make_trainer(base, tmp_path / "broken")
    with pytest.raises(Killed):
        broken.run(kill_at_five, checkpoint_every_sec=0)
    resumed = make_trainer(base, tmp_path / "broken")
    assert 0 < resumed.step < 12
    resumed.run(lambda progress: None)
    for name, parameter in resumed.model.named_parameters():
        assert torch.equal(parameter, dict(whole.model.named_parameters())[name]), name
        assert torch.equal(resumed.average[name], whole.average[name]), name


def test_without_progress_the_learning_rate_falls_early_and_a_resumed_run_remembers(base: Path, tmp_path: Path) -> None:
    """Nothing is learned at a rate of 0: the second validation is no better, and the fall of 4 steps begins at 4."""
    changes = {"patience": 1, "validate_every_steps": 2, "lora_lr": 0.0, "head_lr": 0.0, "weight_decay": 0.0}
    trainer = make_trainer(base, tmp_path / "run", **changes)
    trainer.run(lambda progress: None)
    assert trainer.step == 8
    resumed = make_trainer(base, tmp_path / "run", **changes)
    assert (resumed.step, resumed.schedule.ends) == (8, 8)


def test_the_rate_warms_up_stays_and_falls() -> None:
    schedule = Schedule.of(Training(steps=100, warmup_steps=10, decay_share=0.3, patience=2))
    assert [schedule.rate(step) for step in (0, 4, 9, 50, 70, 85)] == [0.1, 0.5, 1.0, 1.0, 1.0, 0.5]
    for step, cost in ((10, 1.0), (20, 0.9), (30, 0.95), (40, 0.92)):
        schedule.validated(step, cost)
    assert schedule.ends == 70
    assert schedule.rate(55) == 0.5


def test_validation_reports_each_filter(base: Path, tmp_path: Path) -> None:
    trainer = make_trainer(base, tmp_path / "run")
    found = validate(trainer.model, trainer.corpus)["kindness"]
    assert found["n"] == 10
    assert found["mae"] > 0


def test_micro_batches_hold_every_row_once_within_budget() -> None:
    rng = np.random.default_rng()
    tokens = [[1] * int(n) for n in rng.integers(2, 90, size=50)]
    parts = micro_batches(range(50), tokens, 128)
    assert sorted(row for part in parts for row in part) == list(range(50))
    assert all(len(part) * max(len(tokens[row]) for row in part) <= 128 for part in parts)


def test_a_share_meets_other_rows_in_each_pass() -> None:
    order = steps([(list(range(100)), 0.25)], 25, seed=1)
    met = [set(next(order)) for _ in range(4)]
    assert set().union(*met) == set(range(100))


def _run_in_process(base: str, folder: str) -> None:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # forked from a process that was alone
    torch.set_num_threads(1)
    make_trainer(Path(base), Path(folder)).run(lambda progress: None)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_processes_take_the_same_steps_as_one(base: Path, tmp_path: Path) -> None:
    from accelerate import debug_launcher

    debug_launcher(_run_in_process, (str(base), str(tmp_path / "two")), num_processes=2)
    one = make_trainer(base, tmp_path / "one")
    one.run(lambda progress: None)
    two = make_trainer(base, tmp_path / "two")
    assert two.step == one.step == 12
    for name, parameter in two.model.named_parameters():
        torch.testing.assert_close(parameter, dict(one.model.named_parameters())[name], atol=1e-4, rtol=1e-3)
