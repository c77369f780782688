"""The filter that learns in `stillhouse demo --loop`: its package folder, its articles and its labels."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from core.article import Article
from core.package import load_manifest
from core.releases import RELEASES_FILE, Activation, find_package, load_activation
from core.settings import PROJECT, Settings
from offline.candidates import trunk_of
from offline.dataset import read_articles, read_jsonl
from offline.training.settled import settled_sides

TEACHER = "uplifting"
NAME = "uplifting-anew"
"""The filter that learns: the rubric of TEACHER, but a name that the trunk was never trained for."""
SAMPLES = PROJECT / "producers" / "samples"


@dataclass(frozen=True)
class Sizes:
    """How many articles: `first` train the first version (beside those kept for judging), `streamed` are asked
    about while the stream runs, `after` show the new version. Chosen for under ten minutes on two cores."""

    first: int = 24
    streamed: int = 200
    after: int = 40


@dataclass(frozen=True)
class Plan:
    """Articles by role; `judging` are those of `first` that the trunk's split keeps back."""

    first: Sequence[Article]
    judging: frozenset[str]
    streamed: Sequence[Article]
    after: Sequence[Article]


def learner_machine(settings: Settings, own: Settings) -> Settings:
    """Filter folder of the demo: the trunk, the commerce head and the learner alone, which asks about every article."""
    root = own.home / "filters"
    commerce = load_activation(settings.filters).commerce
    teacher = find_package(settings.filters, TEACHER, load_activation(settings.filters).filters[TEACHER])
    trunk = trunk_of(settings, teacher)
    version = load_manifest(trunk)[0]
    shutil.copytree(trunk, root / "trunks" / version.name.removeprefix("trunks/") / version.version)
    shutil.copytree(find_package(settings.filters, "commerce", commerce), root / "commerce" / commerce)
    config = yaml.safe_load((teacher / "config.yaml").read_text(encoding="utf-8"))
    config |= {"name": NAME, "version": "v1", "status": "draft", "bars": {"max_mae": 2.0}}
    config["routing"] = {"audit_rate": 1.0, "near_threshold_rate": 1.0}
    draft = root / NAME / "v1"
    draft.mkdir(parents=True)
    (draft / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    shutil.copyfile(teacher / "prompt.md", draft / "prompt.md")
    (root / RELEASES_FILE).write_bytes(orjson.dumps(Activation(filters={}, commerce=commerce).model_dump(mode="json")))
    replay = {"oracle": "replay", "oracle_replay": own.home / "replay.jsonl", "oracle_daily_usd": 100.0}
    return own.model_copy(update={"filters": (root,), "oracle_daily_calls": 100_000, **replay})


def plan_articles(settings: Settings, sizes: Sizes) -> Plan:
    """Held-out articles are labelled first, so that both versions are judged on the same ones."""
    articles = list(read_articles([SAMPLES / "articles.jsonl"]).values())
    sides = settled_sides(next((settings.filters[0] / "trunks").glob("*/v*")))
    judging = frozenset(a.id for a in articles if sides.get(a.id) in ("val", "test"))
    rest = [article for article in articles if article.id not in judging]
    first = [article for article in articles if article.id in judging] + rest[: sizes.first]
    streamed = rest[sizes.first : sizes.first + sizes.streamed]
    after = rest[sizes.first + sizes.streamed :][: sizes.after]
    return Plan(first, judging, streamed, after)


def write_samples(settings: Settings, plan: Plan) -> None:
    """The sample labels under the learner's name: all for the replay oracle, those of the first articles to import."""
    labels = [
        {**record, "filter": NAME, "version": "v1"}
        for record in read_jsonl(SAMPLES / "labels.jsonl")
        if record["filter"] == TEACHER
    ]
    first = {article.id for article in plan.first}
    _write(settings.home / "replay.jsonl", labels)
    _write(settings.home / "first_labels.jsonl", [record for record in labels if record["article_id"] in first])
    _write(settings.home / "first_articles.jsonl", [article.to_dict() for article in plan.first])


def _write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
