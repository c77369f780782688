"""An article's token ids for the scorer. Training and every engine read this one definition."""

from typing import Protocol

BOS_ID, EOS_ID = 2, 1
"""Gemma's. The closing token gives every article the same place to be read from."""


class Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...


class FastTokenizer(Protocol):
    def encode(self, text: str, /, *, add_special_tokens: bool = True) -> Encoding: ...


def token_ids(tokenizer: FastTokenizer, text: str, max_tokens: int) -> list[int]:
    """BOS, the text, EOS: at most `max_tokens`. Longer texts keep two thirds of the room for their head."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    room = max_tokens - 2
    if len(ids) > room:
        tail = room // 3
        ids = ids[: room - tail] + ids[len(ids) - tail :]
    return [BOS_ID, *ids, EOS_ID]
