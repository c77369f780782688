"""The history file: its connections and tables, and how ids and words are stored in it."""

import hashlib
import logging
import re
import sqlite3
import unicodedata
from importlib import resources
from pathlib import Path

log = logging.getLogger(__name__)

SCHEMA_VERSION = 3

# Scripts written without spaces: each character becomes a token of its own, so that a search can match a part.
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")

_ACCENTS = re.compile("[\u0300-\u036f]")


def spaced(text: str) -> str:
    """Text as the search index sees it: no case, no accents, characters of unspaced scripts apart."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text.casefold()))
    return _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", bare))


def row_of(article_id: str) -> int:
    """Row number that follows from the id: articles of the same millisecond keep their order when all is rebuilt."""
    return int.from_bytes(hashlib.blake2b(article_id.encode(), digest_size=8).digest(), "big") >> 1


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection for one thread at a time; creates the file unless it is opened for reading."""
    if read_only:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # With WAL a power cut costs the last commits, which are then read again from the topics.
        connection.execute("PRAGMA synchronous = NORMAL")
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def open_history(path: Path) -> sqlite3.Connection:
    """The writer's connection, with the tables in place."""
    try:
        connection = connect(path)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        version = -1
    if version not in (0, SCHEMA_VERSION):
        log.warning("%s is of another version or damaged: it is built again from the topics", path)
        for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            file.unlink(missing_ok=True)
        connection, version = connect(path), 0
    if version == 0:
        script = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    return connection
