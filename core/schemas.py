"""JSON Schema (2020-12) of the topics that other programs read or write.

The records are built in core/messages.py and core/article.py; a test holds real records of every stage against
these schemas.
"""

from typing import Any, get_args

from core import topics
from core.article import MAX_BYTES
from core.messages import SCHEMA
from core.routing import Reason

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REASONS = list(get_args(Reason))
_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_SCORE = {"type": "number", "minimum": 0, "maximum": 10}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_VERSION = {"type": "string", "pattern": "^v[0-9]{1,4}$"}
_SCORES = {"type": "object", "description": "By dimension, 0 to 10.", "additionalProperties": _SCORE}
_TAGS = {"type": "array", "items": _TEXT}
_EXTRA = {"type": "object", "description": "Unknown fields of the raw record, carried through unchanged."}
_RELEASES = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "sha256 of the active release set."}
_ID = {"type": "string", "minLength": 1, "maxLength": 256}
_HEAD = {
    "schema": {"const": SCHEMA},
    "id": _ID,
    "title": _TEXT,
    "url": _OPTIONAL,
    "source": _OPTIONAL,
    "language": _OPTIONAL,
}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """An object whose properties are all required but for `optional`; further ones may come in a later version."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        **more,
    }


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_ARTICLE = _object(
    {
        "id": _ID,
        "title": _TEXT,
        "text": _TEXT,
        "url": _OPTIONAL,
        "source": _OPTIONAL,
        "language": {"type": ["string", "null"], "description": "ISO 639 code, as the source states it."},
        "published": {"type": ["string", "null"], "description": "ISO 8601, as the source states it."},
        "tags": _TAGS,
        "extra": _EXTRA,
    },
    optional=("url", "source", "language", "published", "tags", "extra"),
)

_RAW = _ARTICLE | {
    "description": f"One article to score, at most {MAX_BYTES} bytes. Title or text must have content. Without an id, "
    "the first 16 hex digits of the sha256 of title and text.",
    "properties": {
        name: _OPTIONAL if name not in ("tags", "extra") else schema for name, schema in _ARTICLE["properties"].items()
    },
    "required": [],
    "anyOf": [{"required": ["title"]}, {"required": ["text"]}],
}

_RESULT = _object(
    {
        "version": _VERSION,
        "stage": {"enum": ["scorer", "probe"], "description": "probe: the gate stayed closed."},
        "scores": _SCORES,
        "weighted": _SCORE | {"description": "Weighted sum of the scores, after the gatekeepers' caps."},
        "interval": _optional({
            "type": "array", "items": _SCORE, "minItems": 2, "maxItems": 2, "description": "90% interval.",
        }),
        "tier": {"type": "string", "description": "The highest tier that `weighted` reaches, else `low`."},
        "gatekeeper": {"type": ["string", "null"], "description": "Dimension that capped the weighted score."},
        "percentile": _optional({
            "type": "number", "minimum": 0, "maximum": 100, "description": "Among the filter's reference articles.",
        }),
        "oracle": {"enum": [*_REASONS, None], "description": "Why the oracle is asked, if it is."},
    }
)  # fmt: skip

_LABEL = _object(
    {
        "version": _VERSION,
        "scores": _SCORES,
        "oracle": {"type": "string", "description": "Name of the model that judged."},
        "prompt_hash": {"type": "string", "description": "Labels of different rubrics are not mixed."},
        "propensity": {
            "type": "number", "exclusiveMinimum": 0, "maximum": 1,
            "description": "Probability that this label was asked for: weight by its inverse.",
        },
        "reason": _TEXT,
        "weighted": _optional(_SCORE),
        "stage": _OPTIONAL,
        "cost_usd": {"type": "number", "minimum": 0},
        "evidence": {"type": "object", "additionalProperties": _TEXT, "description": "Quotes by dimension."},
    }
)  # fmt: skip

_DECLINED = _object(
    {
        "reason": {"enum": ["budget", "unknown_filter"]},
        "propensity": _SHARE,
        "cost_usd": {"type": "number", "minimum": 0, "description": "What it was expected to cost."},
    },
    description="A filter of the request that was not asked.",
)

_ASK = _object(
    {
        "version": _VERSION,
        "reason": {"enum": _REASONS},
        "propensity": _SHARE,
        "weighted": _SCORE,
        "stage": {"enum": ["scorer", "probe"]},
    }
)


def _topic(name: str, title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"urn:stillhouse:schema:{name}:{SCHEMA}", "title": title, **schema}


SCHEMAS: dict[str, dict[str, Any]] = {
    topics.RAW: _topic(topics.RAW, "Article to score", _RAW),
    topics.SCORED: _topic(
        topics.SCORED,
        "Scored article",
        _object(
            _HEAD
            | {
                "published": _OPTIONAL,
                "commerce": _SHARE | {"description": "Probability that the article sells rather than reports."},
                "filters": {"type": "object", "additionalProperties": _RESULT},
                "releases": _RELEASES,
                "tags": _TAGS,
                "extra": _EXTRA,
            },
            optional=("tags", "extra"),
        ),
    ),
    topics.REJECTED: _topic(
        topics.REJECTED,
        "Rejected article",
        _object(
            _HEAD
            | {
                "reason": {"type": "string", "description": "commerce, duplicate, consent_wall, too_short ..."},
                "detail": _TEXT,
                "commerce": _optional(_SHARE),
                "tags": _TAGS,
                "extra": _EXTRA,
            },
            optional=("tags", "extra"),
        ),
    ),
    topics.ORACLE_REQUESTS: _topic(
        topics.ORACLE_REQUESTS,
        "Question to the oracle",
        _object(
            {
                "schema": {"const": SCHEMA},
                "article": _ARTICLE,
                "filters": {"type": "object", "additionalProperties": _ASK, "minProperties": 1},
                "releases": _RELEASES,
            }
        ),
    ),
    topics.ORACLE_LABELS: _topic(
        topics.ORACLE_LABELS,
        "Labels of one article",
        _object(
            {
                "schema": {"const": SCHEMA},
                "article": _ARTICLE,
                "labels": {"type": "object", "additionalProperties": _LABEL},
                "declined": {"type": "object", "additionalProperties": _DECLINED},
                "releases": _RELEASES,
            }
        ),
    ),
    topics.RELEASES: _topic(
        topics.RELEASES,
        "Active version of one filter",
        _object(
            {
                "schema": {"const": SCHEMA},
                "name": _TEXT,
                "version": _VERSION,
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Of the package's manifest."},
            }
        ),
    ),
}
"""By topic. articles.gated is internal; articles.dead holds original bytes, whatever they are."""
