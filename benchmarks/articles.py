"""The articles that benchmarks run on: real feeds where they are at hand, else the samples."""

from pathlib import Path

from core.article import Article
from core.claims import MemoryClaims
from core.errors import StillhouseError
from core.jsonl import open_input, read_lines
from core.settings import PROJECT
from core.text import apply_rules, clean_article, content_hash

FEED = PROJECT.parent / "shared" / "data" / "feed_articles.jsonl"
SAMPLES = PROJECT / "producers" / "samples" / "articles.jsonl"


def articles_file(wanted: Path | None) -> Path:
    return wanted or (FEED if FEED.is_file() else SAMPLES)


def read_articles(file: Path) -> list[Article]:
    """Every line that is an article."""
    with open_input(str(file)) as stream:
        return [line.outcome for line in read_lines(stream) if isinstance(line.outcome, Article)]


def load_articles(wanted: Path | None, count: int) -> list[Article]:
    """`count` cleaned articles, spread evenly over the file, without those that rules and duplicates reject."""
    file, seen, kept = articles_file(wanted), MemoryClaims(), []
    from core.claims import Claim

    for article in map(clean_article, read_articles(file)):
        digest = content_hash(article)
        (owner,) = seen.claim([Claim(article.id, digest)])
        if owner.owner == article.id and owner.content == digest and apply_rules(article) is None:
            kept.append(article)
    if not kept:
        raise StillhouseError(f"{file} holds no article to measure with.", action="Name another with --articles.")
    step = max(1, len(kept) // count)
    return kept[::step][:count]
