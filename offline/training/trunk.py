"""Joint training of the trunk: one LoRA, linear heads of all filters. Resumes from its last checkpoint."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from offline.training.batches import micro_batches, steps
from offline.training.gemma import Trunk
from offline.training.joint_model import Corpus, JointModel, first_features, validate, validation_cost
from offline.training.recipes import Training
from offline.training.schedule import Schedule
from offline.training.targets import loss, width


@dataclass(frozen=True)
class Progress:
    step: int
    steps: int
    loss: float
    tokens_per_sec: float
    eta_sec: float


class TrunkTrainer:
    """One training run; `run` continues from `folder`'s checkpoint if there is one.

    Started by `accelerate launch` on several devices, each takes its part of every step's micro-batches and the
    gradients are summed: the same steps as on one.
    """

    def __init__(self, trunk: Trunk, corpus: Corpus, recipe: Training, folder: Path) -> None:
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        device = self.accelerator.device
        self.corpus, self.recipe, self.folder = corpus.to(device), recipe, folder
        features = first_features(trunk.to(device), self.corpus)
        self.model = JointModel(trunk, features, width(corpus.targets.parts), recipe.seed).to(device)
        head = list(self.model.head.parameters())
        lora = [p for name, p in self.model.named_parameters() if name.startswith("trunk.") and p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [{"params": lora, "lr": recipe.lora_lr}, {"params": head, "lr": recipe.head_lr}],
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.base_rates = [recipe.lora_lr, recipe.head_lr]
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.schedule = Schedule.of(recipe)
        self.step = 0
        self._restore()

    def run(self, report: Callable[[Progress], None], checkpoint_every_sec: float = 180) -> None:
        order = islice(steps(self.corpus.passes, self.recipe.batch_size, self.recipe.seed), self.step, None)
        started, tokens, saved = time.monotonic(), 0, time.monotonic()
        first = self.step
        while self.step < self.schedule.ends:
            rows = next(order)
            value = self._train_step(rows)
            tokens += sum(len(self.corpus.tokens[row]) for row in rows)
            spent = time.monotonic() - started
            eta = spent / (self.step - first) * (self.schedule.ends - self.step)
            report(Progress(self.step, self.schedule.ends, value, tokens / spent, eta))
            if self.step % self.recipe.validate_every_steps == 0:
                self._validate()
            if time.monotonic() - saved > checkpoint_every_sec:
                self.save()
                saved = time.monotonic()
        self.save()

    def _train_step(self, rows: list[int]) -> float:
        rate = self.schedule.rate(self.step)
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
            if not parameter.requires_grad:
                continue
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
            "schedule": self.schedule.state,
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
        self.schedule.restore(state["schedule"])
        self._assign(state["model"])

    def _assign(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(values[name])

    def _validate(self) -> None:
        """Measure the averaged weights; training goes on with its own. All processes learn when to stop."""
        if self.accelerator.is_main_process:
            current = {name: p.detach().clone() for name, p in self.model.named_parameters()}
            self.use_average()
            found = validate(self.model, self.corpus)
            self._assign(current)
            self.schedule.validated(self.step, validation_cost(found, self.corpus.targets))
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "validation.jsonl").open("a") as stream:
                stream.write(json.dumps({"step": self.step, "filters": found}) + "\n")
        if self.accelerator.num_processes > 1:
            (self.schedule.ends,) = broadcast_object_list([self.schedule.ends])

    def use_average(self) -> None:
        """Put the averaged weights into the model (for validation and export, not for further steps)."""
        self._assign(self.average)
