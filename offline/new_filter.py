"""`stillhouse filters new`: a draft package from a rubric, ready for the oracle and for training."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from core.errors import PackageError
from core.spec import NAME_PATTERN, VERSION_PATTERN, FilterSpec, load_spec
from offline.dataset import read_jsonl
from offline.rubric import Rubric, RubricDimension, RubricError, identifier, read_rubric

_DEFAULT_TIERS = (("high", 7.0), ("medium", 4.0))
_RULES = """All scores are numbers from 0 to 10; halves are allowed.

Score what the article documents, not what its topic promises. Use the whole scale: most articles are
irrelevant to this filter and then get 0-1 on every dimension. Judge only from the text given (title and
body, possibly cut short), in any language. Announcements, pledges and "could" or "may" are weak evidence.
Never infer facts that are not in the text. Give scores only: weights, caps and tiers are computed later.
"""


@dataclass(frozen=True)
class Labelled:
    """What a labelled file says about a filter: its dimensions in order, and the version that most labels name."""

    dimensions: tuple[str, ...]
    version: str


def write_draft(root: Path, name: str, rubric_text: str, labelled: Labelled | None, version: str | None) -> Path:
    """Write root/name/version with config.yaml and prompt.md; returns the folder.

    Raises:
        RubricError: no dimensions, or others than the labels have.
        PackageError: the name is taken or not a name.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise PackageError(f"{name!r} is no filter name.", action="Use lower-case letters, digits, - and _.")
    version = version or (labelled.version if labelled else "v1")
    if not VERSION_PATTERN.fullmatch(version):
        raise PackageError(f"{version!r} is no version.", action="Versions look like v1.")
    folder = root / name / version
    if folder.exists():
        raise PackageError(f"{folder} exists.", action="Edit its config.yaml, or choose another name or --version.")
    rubric = read_rubric(rubric_text)
    dimensions = _weighted(_agreed(rubric, rubric_text, labelled))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(_config(name, version, rubric, dimensions), encoding="utf-8")
    (folder / "prompt.md").write_text(_prompt(name, version, rubric_text), encoding="utf-8")
    load_spec(folder / "config.yaml")
    return folder


def read_labelled(path: Path, name: str) -> Labelled | None:
    """Dimensions and version of the labels for `name`; None where the file has none."""
    versions: Counter[str] = Counter()
    dimensions: tuple[str, ...] = ()
    others: Counter[str] = Counter()
    for record in read_jsonl(path):
        if record.get("filter") != name:
            others[str(record.get("filter"))] += 1
            continue
        versions[str(record["version"])] += 1
        dimensions = dimensions or tuple(record["scores"])
    if not versions:
        raise RubricError(
            f"{path}: no label of {name}.", action=f"It has labels of {', '.join(others) or 'nothing'}: use that name."
        )
    return Labelled(dimensions, versions.most_common(1)[0][0])


def _agreed(rubric: Rubric, text: str, labelled: Labelled | None) -> Sequence[RubricDimension]:
    """The rubric's dimensions; where there are labels, theirs, which the rubric must speak of."""
    if not rubric.dimensions and not labelled:
        raise RubricError(
            "The rubric names no dimensions.",
            action="Write them as `1 name (0.25): meaning`, one a line, or name a labelled file with --labels.",
        )
    if not labelled:
        return rubric.dimensions
    if odd := [d for d in labelled.dimensions if identifier(d) != d]:
        raise RubricError(f"Dimensions {odd} of the labels are no names.", action="Use lower-case letters and _.")
    words = identifier(text)
    described = {dimension.name: dimension for dimension in rubric.dimensions}
    if rubric.dimensions and (unknown := [d for d in labelled.dimensions if d not in described and d not in words]):
        raise RubricError(
            f"The labels have {', '.join(unknown)}, of which the rubric does not speak.",
            action=f"The rubric has {', '.join(described)}: name the dimensions alike.",
        )
    plain = {d: RubricDimension(d, None, d.replace("_", " ").capitalize()) for d in labelled.dimensions}
    found = [described.get(d, plain[d]) for d in labelled.dimensions]
    whole = all(dimension.weight is not None for dimension in found)
    return found if whole else [RubricDimension(d.name, None, d.meaning) for d in found]


def _weighted(dimensions: Sequence[RubricDimension]) -> list[RubricDimension]:
    """Weights that sum to 1: as given, scaled where they do not, equal where there are none."""
    given = [d.weight for d in dimensions if d.weight is not None]
    if given and len(given) < len(dimensions):
        missing = [d.name for d in dimensions if d.weight is None]
        raise RubricError(f"No weight for {', '.join(missing)}.", action="Give every dimension a weight, or none.")
    raw = given or [1.0] * len(dimensions)
    shares = [round(weight / math.fsum(raw), 4) for weight in raw]
    shares[0] = round(shares[0] + 1 - math.fsum(shares), 4)
    return [RubricDimension(d.name, share, d.meaning) for d, share in zip(dimensions, shares, strict=True)]


def _config(name: str, version: str, rubric: Rubric, dimensions: Sequence[RubricDimension]) -> str:
    config = {
        "name": name,
        "version": version,
        "status": "draft",
        "description": rubric.description,
        "dimensions": [{"name": d.name, "weight": d.weight, "meaning": d.meaning} for d in dimensions],
        "tiers": [{"name": tier, "at_least": at} for tier, at in rubric.tiers or _DEFAULT_TIERS],
        "gatekeepers": [{"dimension": d, "below": below, "cap": cap} for d, below, cap in rubric.gatekeepers],
        "gate": {"relevant_at": 2, "max_miss_rate": 0.02},
    }
    FilterSpec.model_validate(config)
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)


def _prompt(name: str, version: str, rubric_text: str) -> str:
    """The oracle's prompt: our rules, then the rubric as it was written."""
    body = rubric_text.strip()
    title, _, rest = body.partition("\n")
    if title.startswith("# "):
        body = f"{title[2:].strip()}\n{rest}".strip()
    return f"# {name} {version}\n\n{_RULES}\n{body}\n"
