"""What goes wrong with a feed or a page, by code: the code is a metric label and is stored as the feed's outcome."""

from core.errors import StillhouseError


class FetchError(StillhouseError):
    """A document could not be had. `retry_after_sec` is what the server asked for."""

    def __init__(self, outcome: str, detail: str, *, action: str = "", retry_after_sec: float | None = None) -> None:
        super().__init__(f"{outcome}: {detail}", action=action)
        self.outcome = outcome
        self.detail = detail
        self.retry_after_sec = retry_after_sec

    @property
    def permanent(self) -> bool:
        """True where asking again is pointless: the server said so."""
        return self.outcome == "gone"


class ParseError(StillhouseError):
    """Bytes that are no feed, or one that is refused unread."""

    def __init__(self, outcome: str, detail: str, action: str = "") -> None:
        super().__init__(f"{outcome}: {detail}", action=action)
        self.outcome = outcome
        self.detail = detail

    def __reduce__(self) -> tuple[type["ParseError"], tuple[str, str, str]]:
        """Travels back from the worker process that parses."""
        return type(self), (self.outcome, self.detail, self.action)
