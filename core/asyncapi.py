"""The AsyncAPI 3.0 document of the outer topics, made from the same tables as the topics and schemas."""

from typing import Any

from core.schemas import SCHEMAS
from core.topics import DEAD, RAW, TOPICS

VERSION = "3.0.0"

_HEADERS = {
    "type": "object",
    "properties": {
        "trace-raw-ts": {"type": "string", "description": "When the raw record was appended, ms since 1970."},
        "stage": {"type": "string", "description": "The stage that produced the record."},
        "traceparent": {"type": "string", "description": "W3C trace context, while tracing is on."},
    },
}
_DEAD_HEADERS = {
    "type": "object",
    "properties": {
        name: {"type": "string"}
        for name in ("dead-stage", "dead-reason", "dead-message", "dead-attempts", "dead-topic", "dead-partition",
                     "dead-offset", "dead-timestamp")
    },
}  # fmt: skip


def document() -> dict[str, Any]:
    """Channels, operations as seen from Stillhouse (it receives raw articles and sends the rest), messages."""
    outer = [topic for topic in TOPICS if topic.name in SCHEMAS or topic.name == DEAD]
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Stillhouse",
            "version": "1",
            "description": "Scores live article feeds. Delivery is at-least-once; a payload is a pure function of the "
            "article and the release set, so a record that comes twice has the same bytes.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "127.0.0.1:19092", "protocol": "kafka"}},
        "channels": {
            topic.name: {
                "address": topic.name,
                "messages": {"record": {"$ref": f"#/components/messages/{topic.name}"}},
                "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions}},
            }
            for topic in outer
        },
        "operations": {
            topic.name.replace(".", "-"): {
                "action": "receive" if topic.name == RAW else "send",
                "channel": {"$ref": f"#/channels/{topic.name}"},
            }
            for topic in outer
        },
        "components": {"messages": {topic.name: _message(topic.name) for topic in outer}},
    }


def _message(name: str) -> dict[str, Any]:
    if name == DEAD:
        return {"title": "Record that could not be handled: its original bytes", "headers": _DEAD_HEADERS,
                "contentType": "application/octet-stream", "payload": {}}  # fmt: skip
    schema = SCHEMAS[name]
    return {"title": schema["title"], "headers": _HEADERS, "payload": schema}
