"""Errors of the whole project. Each says what happened and what to do next."""


class StillhouseError(Exception):
    """Root of all errors that a user may see.

    `action` is the next step for the reader, printed on a line of its own.
    """

    def __init__(self, message: str, *, action: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.action = action

    def __str__(self) -> str:
        return f"{self.message} {self.action}".strip()


class RefusedRecord(StillhouseError):
    """One record cannot be handled, now or ever: it becomes a dead letter with this reason code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(StillhouseError):
    """Something outside is away (broker, oracle, disk): the same call may succeed later."""


class PackageError(StillhouseError):
    """A filter package cannot be used; the message names the file at fault."""


class SettingsError(StillhouseError):
    """A setting has a value that cannot work."""


class NotReleasedError(StillhouseError):
    """A candidate did not meet its bars and stays unreleased."""
