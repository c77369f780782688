"""Patterns in Rust's regex engine, which pydantic brings along.

It takes all alternatives in one pass, in linear time: 34 phrases on 2 KB take it 1 µs, and Python 40.
"""

import re
from collections.abc import Callable, Collection
from itertools import repeat
from operator import call

from pydantic_core import SchemaValidator, core_schema

_MOST_SINGLE_BYTES = 10
"""So many of one pattern are searched as literals, in 0.1 µs on 2 KB; more become a class of characters, in 2.5."""


def found_in(pattern: str) -> Callable[[str], bool]:
    """True for texts in which the pattern occurs; False, too, for what is no valid Unicode (lone surrogates)."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


def any_in(strings: Collection[str]) -> Callable[[str], bool]:
    """True for texts in which one of the strings occurs, most of them characters that are seldom seen."""
    single = sorted(one for one in strings if len(one.encode()) == 1)
    parts = [single[at : at + _MOST_SINGLE_BYTES] for at in range(0, len(single), _MOST_SINGLE_BYTES)]
    parts.append(sorted({*strings} - {*single}))
    searches = [found_in("|".join(map(re.escape, part))) for part in parts if part]
    return lambda text: any(map(call, searches, repeat(text)))
