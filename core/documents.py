"""The contract of the outer topics as files: JSON Schemas and the AsyncAPI document, for docs/ and for releases."""

from pathlib import Path

import orjson

from core.asyncapi import document
from core.schemas import SCHEMAS


def documents() -> dict[Path, bytes]:
    """Content by path below the documentation folder."""
    files = {Path("schemas") / f"{topic}.json": schema for topic, schema in SCHEMAS.items()}
    files[Path("asyncapi.json")] = document()
    return {path: orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n" for path, value in files.items()}


def write_documents(folder: Path) -> list[Path]:
    written = []
    for path, content in documents().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        written.append(folder / path)
    return written


def outdated(folder: Path) -> list[Path]:
    """Files that are missing or differ from the code."""
    return [
        folder / path
        for path, content in documents().items()
        if not (folder / path).is_file() or (folder / path).read_bytes() != content
    ]
