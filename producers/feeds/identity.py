"""One story, one id: canonical URLs, and the keys under which an entry is recognised again.

The rules are our own and frozen: ids on Kafka derive from them, so a list of tracking parameters that changes
with a library's release would publish known stories again under new ids.
"""

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_TRACKING_PREFIXES = ("utm_", "mtm_", "pk_", "hsa_", "at_", "ns_", "wt.", "trk_", "stm_")
_TRACKING = frozenset(
    (
        "fbclid", "gclid", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid", "igshid", "igsh",
        "mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "cmpid", "cmp", "icid", "ito", "ocid", "ncid", "sref",
        "smid", "partner", "rss", "rssfeed", "feedtype", "feedname", "fromrss", "xtor", "echobox", "share",
        "_ga", "_gl", "spm", "wprov", "guccounter", "guce_referrer", "guce_referrer_sig", "ref_src", "ref_url",
    )
)  # fmt: skip
_AMP_PARAMETERS = {"amp": {"", "1", "true"}, "outputtype": {"amp"}, "output": {"amp"}, "service": {"amp"}}
_AMP_CACHE_PATH = re.compile(r"^/(?:[cvwi]/)(s/)?(.+)$")
_AMP_VIEWER_PATH = re.compile(r"^/amp/(s/)?(.+)$")
_AMP_SEGMENT = re.compile(r"(?:/amp(?:\.html?)?|\.amp(?=\.html?$|$))/?$|^/amp(?=/)", re.IGNORECASE)
_HOST_PREFIX = re.compile(r"^(?:www\d?|amp|m|mobile)\.(?=[^.]+\.)")
_SAFE = "!$&'()*+,;=:@/-._~"


def canonical_url(url: str) -> str | None:
    """The form that all addresses of a story share; None where `url` cannot name one (a home page, not http).

    It identifies, it need not open: scheme, www, trailing slash, AMP and tracking parameters are gone.
    """
    try:
        parts = urlsplit(_without_amp_cache(url.strip()))
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    host = _HOST_PREFIX.sub("", _ascii_host(host))
    path = re.sub(r"/{2,}", "/", quote(unquote(parts.path), safe=_SAFE))
    path = _AMP_SEGMENT.sub("", path).rstrip("/")
    query = urlencode(sorted(_story_parameters(parts.query)))
    fragment = parts.fragment if parts.fragment.startswith(("!", "/")) else ""
    if not path and not query and not fragment:
        return None
    address = host if port in (None, 80, 443) else f"{host}:{port}"
    return "//" + address + path + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")


def readable_url(url: str) -> str:
    """The link as given, without tracking parameters and fragment: it opens, and it tells nothing of the reader."""
    parts = urlsplit(url.strip())
    kept = [pair for pair in parts.query.split("&") if pair and not _is_tracking(pair.partition("=")[0])]
    fragment = parts.fragment if parts.fragment.startswith(("!", "/")) else ""
    return parts._replace(query="&".join(kept), fragment=fragment).geturl()


def key(kind: str, *parts: str) -> str:
    """A name under which an entry is known: sha256 over kind and parts, first 32 hex digits."""
    return hashlib.sha256("\x1f".join((kind, *parts)).encode("utf-8", "replace")).hexdigest()[:32]


def url_key(url: str) -> str | None:
    """Key of a story's address, the same for every feed that carries it."""
    canonical = canonical_url(url)
    return key("url", canonical) if canonical else None


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


def _ascii_host(host: str) -> str:
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return host.lower()


def _story_parameters(query: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True)
    return [
        (name, value)
        for name, value in pairs
        if not _is_tracking(name) and value.lower() not in _AMP_PARAMETERS.get(name.lower(), ())
    ]


def _is_tracking(name: str) -> bool:
    folded = name.lower()
    return folded in _TRACKING or folded.startswith(_TRACKING_PREFIXES)
