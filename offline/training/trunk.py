"""Joint training of the trunk: one LoRA, linear heads of all filters. Resumes from its last checkpoint."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from offline.dataset import Array
from offline.metrics import ranking
from offline.training.batches import MicroBatch, micro_batches, pad, steps
from offline.training.gemma import Trunk
from offline.training.recipes import Training
from offline.training.targets import Targets, loss, width

_INFERENCE_BUDGET = 4096
_STATISTICS_ROWS = 512


@dataclass(frozen=True)
class Corpus:
    """Articles of the run. tokens: ids per article; embeddings: [articles, width] of the encoder.

    passes: (rows, share of a pass) by source; val_rows: rows that only measure.
    """

    tokens: list[list[int]]
    embeddings: Tensor
    targets: Targets
    passes: list[tuple[list[int], float]]
    val_rows: list[int]

    def to(self, device: torch.device) -> "Corpus":
        return replace(self, embeddings=self.embeddings.to(device), targets=self.targets.to(device))

    def batch(self, rows: list[int]) -> MicroBatch:
        return pad(rows, self.tokens).to(self.embeddings.device)


@dataclass(frozen=True)
class Progress:
    step: int
    steps: int
    loss: float
    tokens_per_sec: float
    eta_sec: float


class JointModel(nn.Module):
    """Trunk, and one linear head over [trunk state, encoder embedding], standardised by fixed statistics."""

    center: Tensor
    spread: Tensor

    def __init__(self, trunk: Trunk, features: Tensor, outputs: int, seed: int) -> None:
        """Args: features: [articles, hidden + embedding] of the untrained trunk, to standardise by."""
        super().__init__()
        self.trunk = trunk
        self.register_buffer("center", features.mean(0))
        self.register_buffer("spread", features.std(0).clamp_min(1e-6))
        self.head = nn.Linear(features.shape[1], outputs)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, lengths: Tensor, embeddings: Tensor) -> Tensor:
        features = torch.cat((self.trunk(ids, lengths), embeddings), -1)
        outputs: Tensor = self.head((features - self.center) / self.spread)
        return outputs


class TrunkTrainer:
    """One training run; `run` continues from `folder`'s checkpoint if there is one.

    Started by `accelerate launch` on several devices, each takes its part of every step's micro-batches and the
    gradients are summed: the same steps as on one.
    """

    validate_every_steps = 100

    def __init__(self, trunk: Trunk, corpus: Corpus, recipe: Training, folder: Path) -> None:
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        device = self.accelerator.device
        self.corpus, self.recipe, self.folder = corpus.to(device), recipe, folder
        features = _first_features(trunk.to(device), self.corpus)
        self.model = JointModel(trunk, features, width(corpus.targets.parts), recipe.seed).to(device)
        head = list(self.model.head.parameters())
        lora = [p for name, p in self.model.named_parameters() if name.startswith("trunk.")]
        self.optimizer = torch.optim.AdamW(
            [{"params": lora, "lr": recipe.lora_lr}, {"params": head, "lr": recipe.head_lr}],
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.base_rates = [recipe.lora_lr, recipe.head_lr]
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.step = 0
        self._restore()

    def run(self, report: Callable[[Progress], None], checkpoint_every_sec: float = 180) -> None:
        order = islice(steps(self.corpus.passes, self.recipe.batch_size, self.recipe.seed), self.step, None)
        started, tokens, saved = time.monotonic(), 0, time.monotonic()
        first = self.step
        while self.step < self.recipe.steps:
            rows = next(order)
            value = self._train_step(rows)
            tokens += sum(len(self.corpus.tokens[row]) for row in rows)
            spent = time.monotonic() - started
            eta = spent / (self.step - first) * (self.recipe.steps - self.step)
            report(Progress(self.step, self.recipe.steps, value, tokens / spent, eta))
            if self.step % self.validate_every_steps == 0 and self.accelerator.is_main_process:
                self._log_validation()
            if time.monotonic() - saved > checkpoint_every_sec:
                self.save()
                saved = time.monotonic()
        self.save()

    def _train_step(self, rows: list[int]) -> float:
        rate = self.recipe.rate(self.step)
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
        total = torch.zeros((), device=self.accelerator.device)
        parts = micro_batches(rows, self.corpus.tokens, self.recipe.token_budget)
        for part in parts[self.accelerator.process_index :: self.accelerator.num_processes]:
            batch = self.corpus.batch(part)
            outputs = self.model(batch.ids, batch.lengths, self.corpus.embeddings[batch.rows])
            value = loss(outputs, self.corpus.targets, batch.rows) / len(rows)
            value.backward()  # type: ignore[no-untyped-call]
            total += value.detach()
        if self.accelerator.num_processes > 1:
            total = self._sum_over_processes(total)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(self.recipe.average_decay, self.step / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        return float(total)

    def _sum_over_processes(self, total: Tensor) -> Tensor:
        for parameter in self.model.parameters():
            own = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            parameter.grad = self.accelerator.reduce(own, reduction="sum")
        reduced: Tensor = self.accelerator.reduce(total, reduction="sum")
        return reduced

    def save(self) -> None:
        """Write a checkpoint whole: a kill while writing leaves the one before."""
        if not self.accelerator.is_main_process:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "model": {name: p.detach() for name, p in self.model.named_parameters()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")
        (self.folder / "recipe.json").write_text(json.dumps(self.recipe.model_dump() | {"step": self.step}, indent=1))

    def _restore(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location=self.accelerator.device)
        self.step = state["step"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self._assign(state["model"])

    def _assign(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(values[name])

    def _log_validation(self) -> None:
        """Append the averaged weights' metrics to validation.jsonl; training goes on with its own weights."""
        current = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.use_average()
        record = {"step": self.step, "filters": validate(self.model, self.corpus)}
        self._assign(current)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "validation.jsonl").open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def use_average(self) -> None:
        """Put the averaged weights into the model (for validation and export, not for further steps)."""
        self._assign(self.average)


def _first_features(trunk: Trunk, corpus: Corpus) -> Tensor:
    rows = [row for source, _ in corpus.passes for row in source][:_STATISTICS_ROWS]
    found = dict(states(trunk, corpus.tokens, rows))
    state = torch.from_numpy(np.stack([found[row] for row in rows])).to(corpus.embeddings.device)
    return torch.cat((state, corpus.embeddings[rows]), -1)


def validate(model: JointModel, corpus: Corpus) -> dict[str, dict[str, float]]:
    """Weighted MAE, Spearman and average precision of relevant articles, by filter, on the validation rows."""
    outputs = torch.empty(len(corpus.val_rows), width(corpus.targets.parts))
    place = {row: at for at, row in enumerate(corpus.val_rows)}
    with torch.no_grad():
        for part in micro_batches(corpus.val_rows, corpus.tokens, _INFERENCE_BUDGET):
            batch = corpus.batch(part)
            found = model(batch.ids, batch.lengths, corpus.embeddings[batch.rows])
            outputs[[place[row] for row in part]] = found.cpu()
    targets = corpus.targets.to(outputs.device)
    guess = targets.restore(outputs).numpy()
    truth = targets.restore(targets.values[corpus.val_rows]).numpy()
    result = {}
    for block in corpus.targets.parts:
        known = ~np.isnan(truth[:, block.weighted])
        if known.sum() > 1:
            result[block.spec.name] = ranking(
                np.clip(guess[known, block.weighted], 0, 10), truth[known, block.weighted], block.spec.gate.relevant_at
            )
    return result


def states(
    trunk: Trunk, tokens: list[list[int]], rows: list[int], budget: int = _INFERENCE_BUDGET
) -> Iterator[tuple[int, Array]]:
    """(row, trunk state [hidden]) of each article, in batches of similar length."""
    with torch.inference_mode():
        for part in micro_batches(rows, tokens, budget):
            batch = pad(part, tokens).to(trunk.embedding.device)
            for row, state in zip(part, trunk(batch.ids, batch.lengths).cpu().numpy(), strict=True):
                yield row, np.asarray(state, dtype=np.float32)
