"""What was seen and published, and how each feed fares: one SQLite file that survives any kill.

Order of an entry's life, each step committed before the next begins:
1. admit: its keys and its content are stored, together with the validators (ETag) of the document that named it.
   From here on a server that answers "unchanged" loses nothing.
2. freeze: the final bytes of its article are stored. What is sent twice is sent as the same bytes.
3. confirm: Kafka has the article; the content is dropped, id and keys stay.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import orjson

from producers.feeds.compose import Composed
from producers.feeds.entry import Entry
from producers.feeds.identity import article_id
from producers.feeds.state_file import FeedState, StateFile, read_feed, write_feed

KEEP_DAYS = 90
"""Ids are forgotten this long after their feed stopped listing them; the stream's own duplicate check remains."""

_PUBLISHED = "update entries set stage = 'published', content = null"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry on its way: admitted (`entry` is set) or frozen (`payload` is set)."""

    id: str
    entry: Entry | None
    payload: bytes | None


class FeedsState:
    """Use it as a context manager; one process at a time may hold it."""

    def __init__(self, folder: Path) -> None:
        self._file = StateFile(folder)
        self._db = self._file.db

    def __enter__(self) -> "FeedsState":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def feed(self, url: str) -> FeedState:
        return read_feed(self._db, url)

    def save_feed(self, feed: FeedState) -> None:
        with self._file.transaction():
            write_feed(self._db, feed)

    def admit(self, feed: FeedState, entries: Sequence[Entry]) -> int:
        """Step 1, with the feed's new validators; returns how many entries are new.

        An entry known under any of its keys is the same story: its first version stays, and its other names are
        learnt.
        """
        new = 0
        assert feed.read_at is not None
        with self._file.transaction():
            write_feed(self._db, feed)
            for entry in entries:
                known = self._known(entry, feed.url)
                identifier = known or self._new_id(entry)
                if known is None:
                    new += 1
                    row = (identifier, feed.url, _folded(entry.title), feed.read_at, orjson.dumps(entry))
                    self._db.execute("insert or ignore into entries values(?, ?, ?, ?, 'admitted', ?)", row)
                else:
                    self._db.execute("update entries set listed_at = ? where id = ?", (feed.read_at, identifier))
                self._learn(entry.keys, identifier)
        return new

    def waiting(self, feed_url: str, limit: int) -> list[Waiting]:
        """Entries of a feed that Kafka has not confirmed, frozen ones first."""
        rows = self._db.execute(
            "select id, stage, content from entries where feed = ? and stage != 'published' "
            "order by stage desc, rowid limit ?",
            (feed_url, limit),
        )
        return [
            Waiting(identifier, None, content) if stage == "frozen" else Waiting(identifier, _unpack(content), None)
            for identifier, stage, content in rows
        ]

    def feeds_with_waiting(self) -> list[str]:
        return [url for (url,) in self._db.execute("select distinct feed from entries where stage != 'published'")]

    def freeze(self, articles: Iterable[Composed]) -> list[Composed]:
        """Step 2; returns those to send. One whose page names a story already known under another id is dropped."""
        fresh = []
        with self._file.transaction():
            for article in articles:
                if self._is_told_elsewhere(article):
                    self._db.execute(f"{_PUBLISHED} where id = ?", (article.id,))
                    continue
                fresh.append(article)
                self._db.execute(
                    "update entries set stage = 'frozen', content = ? where id = ?", (article.payload, article.id)
                )
                self._learn(article.keys, article.id)
        return fresh

    def confirm(self, feed_url: str, ids: Sequence[str]) -> None:
        """Step 3."""
        with self._file.transaction():
            self._db.executemany(f"{_PUBLISHED} where id = ?", ((identifier,) for identifier in ids))
            self._db.execute("update feeds set published = published + ? where url = ?", (len(ids), feed_url))

    def forget_old(self) -> int:
        """Drop published ids that their feed, though read since, has not listed for KEEP_DAYS; returns how many."""
        with self._file.transaction():
            old = self._db.execute(
                "delete from entries where stage = 'published' and listed_at < "
                "(select read_at from feeds where url = entries.feed) - ? returning id",
                (KEEP_DAYS * 86_400,),
            ).fetchall()
            self._db.executemany("delete from keys where id = ?", old)
        return len(old)

    def _known(self, entry: Entry, feed_url: str) -> str | None:
        """Id of the story that an entry tells. A feed that sends new guids and titles under a constant link ("the
        latest episode") tells new stories."""
        if entry.guid_key and (identifier := find(self._db, [entry.guid_key])):
            return identifier
        identifier = find(self._db, entry.keys)
        if identifier and entry.guid_key:
            owner = self._db.execute("select feed, title from entries where id = ?", (identifier,)).fetchone()
            if owner and owner[0] == feed_url and owner[1] != _folded(entry.title):
                return None
        return identifier

    def _new_id(self, entry: Entry) -> str:
        """From the entry's most telling key that no other story has."""
        return article_id([key for key in entry.keys if not find(self._db, [key])])

    def _is_told_elsewhere(self, article: Composed) -> bool:
        """True if another entry of the same title has the page's address. The title must agree: sites that send
        every visitor to one page of theirs (a login, a consent page) would otherwise have a single article."""
        same_story = (
            "select 1 from keys join entries other on other.id = keys.id join entries own on own.id = ? "
            "where keys.key = ? and other.id != own.id and other.title = own.title and own.title != ''"
        )
        return any(self._db.execute(same_story, (article.id, key)).fetchone() for key in article.keys)

    def _learn(self, keys: Iterable[str], identifier: str) -> None:
        self._db.executemany("insert or ignore into keys values(?, ?)", ((key, identifier) for key in keys))


def find(db: sqlite3.Connection, keys: Sequence[str]) -> str | None:
    """Id of the story that is known under one of `keys`; the most telling one decides."""
    for key in keys:
        if row := db.execute("select id from keys where key = ?", (key,)).fetchone():
            return str(row[0])
    return None


def _folded(title: str) -> str:
    return " ".join(title.casefold().split())


def _unpack(content: bytes) -> Entry:
    record = orjson.loads(content)
    return Entry(**{**record, "keys": tuple(record["keys"]), "categories": tuple(record["categories"])})
