"""What processes and their stages report. Prometheus hears it in consumers/metrics.py; by default nobody does."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from core.messages import Scored

if TYPE_CHECKING:
    from consumers.delivery import Report


class StageRecorder(Protocol):
    """What a stage reports beyond its deliveries. One call per batch, not per record."""

    def model(self) -> AbstractContextManager[None]:
        """Times the block as work inside models."""

    def rejected(self, reasons: Iterable[str]) -> None:
        """Reason codes of rejected articles."""

    def scored(self, records: Sequence[Scored]) -> None:
        """Gates, tiers and drift of scored records."""

    def lag(self, topic: str, records: Mapping[int, int | None]) -> None:
        """Records not yet handled on `topic`, by partition; None for one that another process reports from now on."""


class Recorder(Protocol):
    """What a process reports."""

    def stage(self, name: str) -> StageRecorder: ...

    def delivered(self, report: "Report") -> None:
        """One batch of any stage: this makes a recorder an Observer of consumers/delivery.py."""

    def oracle_call(self, outcome: str, spent_usd: float) -> None: ...

    def oracle_budget(self, spent_today_usd: float, budget_usd: float) -> None: ...

    def releases(self, versions: Mapping[str, tuple[str, str]]) -> None:
        """Active (version, manifest sha256) by name; replaces what was reported before."""

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...


class _SilentStage:
    def model(self) -> AbstractContextManager[None]:
        return nullcontext()

    def rejected(self, reasons: Iterable[str]) -> None: ...

    def scored(self, records: Sequence[Scored]) -> None: ...

    def lag(self, topic: str, records: Mapping[int, int | None]) -> None: ...


class SilentRecorder:
    """Metrics are off."""

    def stage(self, name: str) -> StageRecorder:
        return _SilentStage()

    def delivered(self, report: "Report") -> None: ...

    def oracle_call(self, outcome: str, spent_usd: float) -> None: ...

    def oracle_budget(self, spent_today_usd: float, budget_usd: float) -> None: ...

    def releases(self, versions: Mapping[str, tuple[str, str]]) -> None: ...

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...
