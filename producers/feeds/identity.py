"""One story, one id: canonical URLs, and the keys under which an entry is recognised again.

The rules are our own and frozen: ids on Kafka derive from them, so a list of tracking parameters that changes
with a library's release would publish known stories again under new ids.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from producers.feeds.entry import RawEntry

# Only names that no site uses to tell two stories apart: a parameter dropped too many would lose an article.
_TRACKING_PREFIXES = ("utm_", "mtm_", "hsa_", "at_", "ns_", "wt.", "stm_")
_TRACKING = frozenset(
    (
        "fbclid", "gclid", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid", "igshid", "igsh",
        "mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "cmpid", "icid", "ito", "ocid", "ncid", "sref", "smid",
        "pk_campaign", "pk_kwd", "pk_source", "pk_medium", "pk_content", "trk", "xtor", "echobox", "_ga", "_gl",
        "spm", "wprov", "guccounter", "guce_referrer", "guce_referrer_sig", "ref_src", "ref_url",
    )
)  # fmt: skip
_AMP_PARAMETERS = {"amp": {"", "1", "true"}, "outputtype": {"amp"}, "output": {"amp"}, "service": {"amp"}}
_AMP_CACHE_PATH = re.compile(r"^/(?:[cvwi]/)(s/)?(.+)$")
_AMP_VIEWER_PATH = re.compile(r"^/amp/(s/)?(.+)$")
_AMP_SEGMENT = re.compile(r"(?:/amp(?:\.html?)?|\.amp(?=\.html?$|$))/?$|^/amp(?=/)", re.IGNORECASE)
_HOST_PREFIX = re.compile(r"^(?:www\d?|amp|m|mobile)\.(?=[^.]+\.)")
_BYTES = "surrogateescape"  # percent-encoded bytes of other charsets survive the round trip
_SAFE = "!$&'()*+,;=:@/-._~"


def canonical_url(url: str) -> str | None:
    """The form that all addresses of a story share; None where `url` cannot name one (a home page, not http).

    It identifies, it need not open: scheme, www, trailing slash, AMP and tracking parameters are gone.
    """
    try:
        parts = urlsplit(_without_amp_cache(url.strip()))
        address = _address(parts)
        path = _path(parts.path)
        query = urlencode(sorted(_story_parameters(parts.query)), errors=_BYTES)
    except ValueError:  # an unclosed [ of IPv6, a port of letters, half a surrogate pair
        return None
    fragment = _story_fragment(parts.fragment)
    if not address or not (path or query or fragment):
        return None
    return "//" + address + path + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")


def readable_url(url: str) -> str:
    """The link as given, without tracking parameters and fragment: it opens, and it tells nothing of the reader."""
    parts = urlsplit(url.strip())
    kept = [pair for pair in parts.query.split("&") if pair and not _is_tracking(pair.partition("=")[0])]
    return parts._replace(query="&".join(kept), fragment=_story_fragment(parts.fragment)).geturl()


def key(kind: str, *parts: str) -> str:
    """A name under which an entry is known: sha256 over kind and parts, first 32 hex digits."""
    return hashlib.sha256("\x1f".join((kind, *parts)).encode("utf-8", "replace")).hexdigest()[:32]


def url_key(url: str) -> str | None:
    """Key of a story's address, the same for every feed that carries it."""
    canonical = canonical_url(url)
    return key("url", canonical) if canonical else None


def guid_key(feed_url: str, guid: str) -> str:
    """Key of a guid, which says something within its feed only."""
    return key("guid", canonical_url(feed_url) or feed_url, guid)


def entry_keys(feed_url: str, entries: Sequence[RawEntry]) -> list[tuple[str, ...]]:
    """What each entry of a document is recognised by, most telling first; never empty.

    A link or guid that entries of different titles share (the home page, "0") names none of them. The last key is
    the exact combination of all names: it recognises an entry whose neighbours made its link ambiguous in one poll.
    """
    scope = canonical_url(feed_url) or feed_url
    links = Counter(link for link, _ in {(canonical_url(entry.link), entry.title) for entry in entries})
    guids = Counter(guid for guid, _ in {(entry.guid, entry.title) for entry in entries})
    keys = []
    for entry in entries:
        link = canonical_url(entry.link)
        found = [key("url", link)] if link and links[link] == 1 else []
        if entry.guid and guids[entry.guid] == 1:
            found.append(guid_key(feed_url, entry.guid))
        text = "" if entry.link or entry.guid else entry.body
        keys.append((*found, key("entry", scope, entry.link, entry.guid, entry.title, text)))
    return keys


def article_id(keys: Iterable[str]) -> str:
    """Id of an entry that is new under all its keys (most telling first): 16 hex digits, as core.article's ids."""
    return next(iter(keys))[:16]


def _without_amp_cache(url: str) -> str:
    """Google's AMP viewer and cache carry the publisher's address in their path."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if host.endswith(".cdn.ampproject.org"):
        found = _AMP_CACHE_PATH.match(parts.path)
    elif host in ("www.google.com", "google.com"):
        found = _AMP_VIEWER_PATH.match(parts.path)
    else:
        found = None
    if not found:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{'https' if found[1] else 'http'}://{found[2]}{query}"


def _address(parts: SplitResult) -> str:
    """Host and unusual port; empty where the URL has no host that http reaches."""
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme.lower() not in ("http", "https") or not host:
        return ""
    host = _HOST_PREFIX.sub("", host.encode("idna").decode().lower() if not host.isascii() else host)
    return host if parts.port in (None, 80, 443) else f"{host}:{parts.port}"


def _path(path: str) -> str:
    path = re.sub(r"/{2,}", "/", quote(unquote(path, errors=_BYTES), safe=_SAFE, errors=_BYTES))
    return _AMP_SEGMENT.sub("", path).rstrip("/")


def _story_fragment(fragment: str) -> str:
    """Applications without pages of their own route by `#!` and `#/`; other fragments are places in one page."""
    return fragment if fragment.startswith(("!", "/")) else ""


def _story_parameters(query: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True, errors=_BYTES)
    return [
        (name, value)
        for name, value in pairs
        if not _is_tracking(name) and value.lower() not in _AMP_PARAMETERS.get(name.lower(), ())
    ]


def _is_tracking(name: str) -> bool:
    folded = name.lower()
    return folded in _TRACKING or folded.startswith(_TRACKING_PREFIXES)
