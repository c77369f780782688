-- One row per article that the board has seen. `kind` is waiting (gated, no verdict yet), scored or rejected.
-- `filters` is the record's part of that name, JSON under zlib.
-- `seq` numbers the verdicts in the order in which they arrived here: live pages ask for what is newer.
CREATE TABLE articles (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL,
    url TEXT,
    source TEXT,
    language TEXT NOT NULL DEFAULT '',
    published TEXT,
    teaser TEXT NOT NULL DEFAULT '',
    commerce REAL,
    reason TEXT,
    detail TEXT,
    releases TEXT,
    notable INTEGER NOT NULL DEFAULT 0,
    latency_ms INTEGER,
    filters BLOB
);
CREATE INDEX articles_by_time ON articles (kind, at_ms DESC, n DESC);
CREATE INDEX articles_notable ON articles (kind, notable, at_ms DESC, n DESC);
CREATE INDEX articles_by_language ON articles (kind, language, at_ms DESC, n DESC);
CREATE INDEX articles_by_reason ON articles (kind, reason, at_ms DESC, n DESC);
CREATE INDEX articles_by_age ON articles (at_ms);
CREATE INDEX articles_by_seq ON articles (seq);

CREATE TABLE verdicts (
    n INTEGER NOT NULL,
    filter TEXT NOT NULL,
    tier TEXT NOT NULL,
    weighted REAL NOT NULL,
    at_ms INTEGER NOT NULL,
    language TEXT NOT NULL,
    PRIMARY KEY (n, filter)
) WITHOUT ROWID;
CREATE INDEX verdicts_by_filter ON verdicts (filter, tier, at_ms DESC, n DESC, language);
CREATE INDEX verdicts_by_time ON verdicts (filter, at_ms DESC, n DESC, tier, language);

-- Counts for the navigation, kept by triggers: counting 50,000 articles times filters takes too long for a page.
CREATE TABLE tallies (
    filter TEXT NOT NULL,
    tier TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (filter, tier)
) WITHOUT ROWID;
CREATE TRIGGER verdict_added AFTER INSERT ON verdicts BEGIN
    INSERT INTO tallies VALUES (new.filter, new.tier, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER verdict_removed AFTER DELETE ON verdicts BEGIN
    UPDATE tallies SET count = count - 1 WHERE filter = old.filter AND tier = old.tier;
END;

CREATE VIRTUAL TABLE search USING fts5 (title, source, teaser, tokenize = "unicode61");

CREATE TABLE labels (
    id TEXT NOT NULL,
    filter TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    label BLOB NOT NULL,
    PRIMARY KEY (id, filter)
);
CREATE INDEX labels_by_time ON labels (at_ms);

CREATE TABLE dead (
    place TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    key TEXT,
    preview TEXT NOT NULL
);
CREATE INDEX dead_by_time ON dead (at_ms DESC);

CREATE TABLE releases (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, at_ms)
);

-- How far each partition was read. Timestamp and key of the last record tell whether the topic is still the same one.
CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    key BLOB,
    PRIMARY KEY (topic, partition)
);
