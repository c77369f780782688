"""Who owns a text: the first id to claim it. Decides duplicates the same way on every redelivery."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """An article id that says it carries this content (hash of the cleaned text)."""

    article_id: str
    content: str


class Ownership(NamedTuple):
    """`owner` is the first id that claimed the content; `content` the first content claimed under the id."""

    owner: str
    content: str


class ClaimStore(Protocol):
    """Remembers claims. Must be durable before it returns where the stream may be killed and restarted."""

    def claim(self, claims: Sequence[Claim]) -> list[Ownership]:
        """Register claims in order and answer each; a claim made before is answered as it was then."""


@dataclass
class MemoryClaims:
    """For `stillhouse score` and tests: forgets at exit."""

    _owners: dict[str, str] = field(default_factory=dict)
    _contents: dict[str, str] = field(default_factory=dict)

    def claim(self, claims: Sequence[Claim]) -> list[Ownership]:
        answers = []
        for claim in claims:
            content = self._contents.setdefault(claim.article_id, claim.content)
            # An id that changed its content owns nothing new: it becomes a dead letter.
            owner = (
                self._owners.setdefault(claim.content, claim.article_id)
                if content == claim.content
                else claim.article_id
            )
            answers.append(Ownership(owner, content))
        return answers
