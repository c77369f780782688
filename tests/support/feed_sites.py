"""A web of news sites with everything that goes wrong in real feeds, and what should come out of it."""

from dataclasses import dataclass, field, replace

from core.article import Article
from producers.feeds.render import CONTENT_TYPES, FORMATS, render
from tests.support.feed_server import (
    BILLION_LAUGHS,
    FeedWeb,
    Reply,
    Route,
    endless,
    gzip_bomb,
    redirect,
    slow_bytes,
)

STORY = "The villages along the river planted trees for ten years, and this spring the otters came back. " * 8
HOSTILE = ("laughs", "bomb", "endless", "loop", "cut", "slow")


@dataclass
class Sites:
    """Feeds by address; `titles` are those of all entries that must be published, each once."""

    web: FeedWeb
    hosts: tuple[str, ...]
    entries_per_feed: int
    feeds: dict[str, int] = field(default_factory=dict)
    titles: set[str] = field(default_factory=set)

    def publish(self, feeds: int, share: float, hostile: tuple[str, ...] = HOSTILE) -> None:
        """Put up `feeds` feeds with the first `share` of their entries; every tenth is hostile."""
        for number in range(feeds):
            host = self.hosts[number % len(self.hosts)]
            articles = self._articles(number, host)[: int(self.entries_per_feed * share)]
            trouble = hostile[number // 10 % len(hostile)] if number % 10 == 9 else ""
            route = self._hostile(trouble, number, articles) if trouble else self._good(number, articles)
            self.feeds[self.web.put(f"/feed/{number}", route, host)] = number

    def _articles(self, number: int, host: str) -> list[Article]:
        articles = [
            Article(
                id=f"{number}-{story}",
                title=f"Feed {number} story {story}: Größe & Maß",
                text=f"{STORY}Story {story} of feed {number}.",
                url=f"https://news{number}.example/stories/{story}",
                published="2026-11-20T10:00:00Z",
            )
            for story in range(self.entries_per_feed)
        ]
        if number % 20 == 7:  # teasers, with a page behind each
            return [self._teaser(article, host) for article in articles]
        if number % 10 == 6:  # the first stories of the neighbour, under other addresses
            shared = self._articles(number - 1, host)[:10]
            return [_elsewhere(article, story) for story, article in enumerate(shared)] + articles[10:]
        if number % 10 == 4:
            return [replace(article, url=None, id="") for article in articles]
        return articles

    def _teaser(self, article: Article, host: str) -> Article:
        path = f"/pages/{article.id}"
        page = f"<html><body><article><h1>{article.title}</h1><p>{article.text}</p></article></body></html>"
        url = self.web.put(path, Reply(page.encode(), "text/html; charset=utf-8", conditional=False), host)
        return replace(article, text="The otters came back…", url=url)

    def _good(self, number: int, articles: list[Article]) -> Route:
        self.titles |= {article.title for article in articles}
        form = FORMATS[number % len(FORMATS)]
        body = render(form, f"Site {number}", f"https://news{number}.example/", articles)
        match number % 10:
            case 1:  # HTML in titles
                body = body.replace(b"Feed ", b"&lt;b&gt;Feed&lt;/b&gt; ") if form != "json" else body
            case 2:  # says Latin-1, is UTF-8
                body = body.replace(b'encoding="utf-8"', b'encoding="iso-8859-1"')
            case 8 if form != "json":  # says UTF-8, is Latin-1
                body = body.decode().encode("iso-8859-1")
            case 3:
                body = body.replace(b"20 Nov 2026", b"13 Nov 2099").replace(b"2026-11-20", b"1970-01-01")
        return Reply(body, CONTENT_TYPES[form])

    def _hostile(self, trouble: str, number: int, articles: list[Article]) -> Route:
        match trouble:
            case "laughs":
                return Reply(BILLION_LAUGHS)
            case "bomb":
                return gzip_bomb(100)
            case "loop":
                return redirect(f"/feed/{number}")
            case "endless":
                return endless
            case "slow":
                return slow_bytes
            case "cut":  # the transfer ends inside the last entry: those before it are whole
                body = render("rss20", f"Site {number}", "https://cut.example/", articles)
                self.titles |= {article.title for article in articles[:-1]}
                return Reply(body[: body.rindex(b"<pubDate>")])
        raise ValueError(trouble)


def _elsewhere(article: Article, number: int) -> Article:
    url = article.url or ""
    forms = (
        f"{url}?utm_source=rss&fbclid=x",
        url.replace("https://", "http://www."),
        f"{url}/amp/",
        f"https://www.google.com/amp/s/{url.removeprefix('https://')}",
    )
    return replace(article, url=forms[number % len(forms)], id=f"copy-of-{article.id}")
