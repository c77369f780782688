"""What a run did, for its reader and for metrics."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol


class FeedRecorder(Protocol):
    """What feeds report to metrics."""

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...


class SilentRecorder:
    """Metrics are off."""

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...


@dataclass
class RunReport:
    """Polls by outcome, entries by outcome, and the feeds that fail, with the reason.

    Outcomes of entries: `new`, `known`, `empty` (no title, no text), `published`, `same_story` (its page is that of
    an article already published), `page_read`, and `page_<why not>`.
    """

    recorder: FeedRecorder = field(default_factory=SilentRecorder)
    polls: Counter[str] = field(default_factory=Counter)
    entry_counts: Counter[str] = field(default_factory=Counter)
    failing: dict[str, str] = field(default_factory=dict)

    def poll(self, url: str, outcome: str, failures: int) -> None:
        self.polls[outcome] += 1
        self.recorder.feed_poll(url, outcome, failures)

    def entries(self, **counts: int) -> None:
        for outcome, count in counts.items():
            if count:
                self.entry_counts[outcome] += count
                self.recorder.feed_entries(outcome, count)
