"""Reads dimensions, weights, tiers and gatekeepers out of a rubric, in the forms in which people write them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from core.errors import StillhouseError


class RubricError(StillhouseError):
    """A rubric from which no filter can be made."""


@dataclass(frozen=True, slots=True)
class RubricDimension:
    """`weight` None: the rubric gives none."""

    name: str
    weight: float | None
    meaning: str


@dataclass(frozen=True)
class Rubric:
    """What was found; empty tuples where the rubric is silent."""

    description: str
    dimensions: tuple[RubricDimension, ...]
    tiers: tuple[tuple[str, float], ...] = ()
    gatekeepers: tuple[tuple[str, float, float], ...] = field(default=())


_WEIGHT = r"(?:[(\[]?\s*(?:weight\s*[:=]?\s*)?(?P<weight>0?\.\d+|1\.0+|\d{1,3}\s?%)\s*[)\]]?)?"
_NAME = r"[*_`]*(?P<name>[A-Za-z][A-Za-z0-9_ /&-]{0,62}?)[*_`]*"
_SNAKE = r"[*`]*(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)+|[a-z][a-z0-9_]+(?=[*`]))[*`]*"
_REST = r"\s*(?:[:—–]|\s-\s|$)\s*(?P<meaning>.*)$"
# In the order of trust: the first form that yields at least two dimensions is taken.
_FORMS = (
    re.compile(rf"^#{{2,5}}\s+\d+[.)]?\s+{_NAME}\s*{_WEIGHT}{_REST}"),
    re.compile(rf"^\s*\d+[.)]?\s+{_NAME}\s*{_WEIGHT}{_REST}"),
    re.compile(rf"^#{{2,5}}\s+{_SNAKE}\s*{_WEIGHT}{_REST}"),
    re.compile(rf"^\s*\|\s*(?!-|dimension|name){_NAME}\s*\|\s*{_WEIGHT}\s*\|\s*(?P<meaning>[^|]*)\|", re.IGNORECASE),
    re.compile(rf"^\s*[-*+]\s+{_SNAKE}\s*{_WEIGHT}{_REST}"),
)
_TIERS = re.compile(r"^\W*tiers?\W*[:=]\s*(?P<list>.+)$", re.IGNORECASE | re.MULTILINE)
_TIER = re.compile(r"(?P<name>[A-Za-z_]+)\s*(?:>=|=|:)?\s*(?P<at>\d+(?:\.\d+)?)")
_GATEKEEPER = re.compile(
    r"(?P<name>[a-z][a-z0-9_]+)\s*<\s*(?P<below>\d+(?:\.\d+)?)\s*(?:->|→|=>|:|caps? at)\s*(?P<cap>\d+(?:\.\d+)?)"
)
_VERSIONED = re.compile(r"^[\w-]+ v\d+\s*[-:—–]\s*")
_MAX_NAME_WORDS = 5


def read_rubric(text: str) -> Rubric:
    """Find what the rubric says; dimensions may be empty."""
    gatekeepers = tuple((m["name"], float(m["below"]), float(m["cap"])) for m in _GATEKEEPER.finditer(text))
    tiers: tuple[tuple[str, float], ...] = ()
    if match := _TIERS.search(text):
        tiers = tuple((m["name"].lower(), float(m["at"])) for m in _TIER.finditer(match["list"]))
    found: Iterable[tuple[RubricDimension, ...]] = (_dimensions(text.splitlines(), form) for form in _FORMS)
    dimensions = next((each for each in found if len(each) >= 2), ())
    return Rubric(_description(text), dimensions, tuple(sorted(tiers, key=lambda tier: -tier[1])), gatekeepers)


def identifier(name: str) -> str:
    """A dimension's name as config.yaml wants it."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _dimensions(lines: list[str], form: "re.Pattern[str]") -> tuple[RubricDimension, ...]:
    found: dict[str, RubricDimension] = {}
    for number, line in enumerate(lines):
        if not (match := form.match(line)) or len(match["name"].split()) > _MAX_NAME_WORDS:
            continue
        name = identifier(match["name"])
        meaning = match["meaning"].strip() or _next_sentence(lines[number + 1 :])
        found.setdefault(name, RubricDimension(name, _weight(match["weight"]), _first_sentence(meaning) or name))
    return tuple(found.values())


def _weight(text: str | None) -> float | None:
    if text is None:
        return None
    return float(text.rstrip("% ")) / 100 if "%" in text else float(text)


def _description(text: str) -> str:
    """The first line of prose, else the title."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    prose = [line for line in lines if not line.startswith(("#", "|", "-", "*", ">", "---")) and not line[0].isdigit()]
    title = [line.lstrip("# ").strip() for line in lines if line.startswith("#")]
    return _first_sentence(_VERSIONED.sub("", (prose or title or ["No description"])[0]))[:200]


def _next_sentence(lines: list[str]) -> str:
    prose: Callable[[str], bool] = lambda line: bool(line.strip()) and not line.lstrip().startswith(("-", "#", "|"))  # noqa: E731
    head = [line.strip() for line in lines[:3] if prose(line)]
    return head[0] if head else ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0].rstrip(".").strip()
