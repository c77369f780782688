"""Cleaning of article text, and the rules that reject an article before any model runs."""

import hashlib
import html
import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import islice

from core.article import Article
from core.patterns import any_in, found_in

MIN_LETTERS = 12
"""Fewer letters than this (title and text together) cannot be judged. Real feeds have a median of 125 characters."""

MODEL_HEAD_CHARS = 12_000
MODEL_TAIL_CHARS = 4_000
"""The models read at most some hundred tokens of head and tail; cutting first keeps 1 MiB texts cheap."""

_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]{0,2000}|!--[^<>]{0,2000}--)>")
_BLANK_LINES = re.compile(r"(?: \n|\n)\s*\n\s*")
_CONTROL = [*map(chr, (*range(9), 11, 12, *range(14, 32), 127)), "\u200b", "\ufeff"]
_SPACED = str.maketrans(dict.fromkeys(_CONTROL, " "))
_SPACES = [one for one in map(chr, range(0x3001)) if one.isspace() and one not in " \n"]

# Nine texts of ten have none of these: words parted by one space, or by one or two line ends.
_has_odd_space = any_in({*_CONTROL, *_SPACES, "  ", " \n", "\n ", "\n\n\n"})
_has_unfolded_space = any_in({*_SPACES, "\n", "  "})

# Phrases that consent walls show instead of the article. A wall is short and says several of them:
# one alone also stands in honest reports about cookies and privacy.
_CONSENT_PHRASES = tuple(
    phrase.casefold()
    for phrase in (
        "accept all", "accept cookies", "reject all", "cookie settings", "manage preferences", "privacy choices",
        "we and our partners", "store and/or access information on a device", "legitimate interest",
        "consent to the use", "before you continue", "your privacy is important to us",
        "alles accepteren", "cookies accepteren", "cookie-instellingen", "wij en onze partners", "toestemming geven",
        "alle akzeptieren", "cookies akzeptieren", "wir und unsere partner", "datenschutzeinstellungen",
        "tout accepter", "accepter les cookies", "nos partenaires", "paramétrer les cookies",
        "aceptar todo", "aceptar cookies", "nuestros socios", "accetta tutti", "i nostri partner",
        "aceitar todos", "aceitar cookies", "αποδοχή όλων", "zaakceptuj wszystkie",
    )
)  # fmt: skip
_has_consent_phrase = found_in("|".join(map(re.escape, _CONSENT_PHRASES)))
_CONSENT_MIN_PHRASES = 2
_CONSENT_MAX_CHARS = 2_500


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """Why the rules reject an article: a reason code and what was seen."""

    reason: str
    detail: str


def clean(text: str) -> str:
    """Plain text: tags and entities resolved, NFC, control characters and runs of white space folded."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    if not _has_odd_space(text) and text == text.strip() and unicodedata.is_normalized("NFC", text):
        return text
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").translate(_SPACED)
    if "\n" not in text:
        return " ".join(text.split())
    return _BLANK_LINES.sub("\n\n", "\n".join(map(_fold, text.split("\n")))).strip()


def _fold(line: str) -> str:
    """Runs of white space as one space each, also at the line's ends. Ten times as fast as a pattern for them."""
    folded = " ".join(line.split())
    if not folded:
        return " " if line else ""
    return f"{' ' * line[0].isspace()}{folded}{' ' * line[-1].isspace()}"


def clean_article(article: Article) -> Article:
    """The same article with cleaned title and text; everything else is carried."""
    title, text = " ".join(clean(article.title).split()), clean(article.text)
    return article if (title, text) == (article.title, article.text) else replace(article, title=title, text=text)


def content_hash(article: Article) -> str:
    """Hash of a cleaned article's words, blind to case and white space: equal for exact duplicates."""
    lines = filter(None, article.text.split("\n"))  # half the time of two replacements
    folded = " ".join([article.title, *lines]).casefold().strip()
    if _has_unfolded_space(folded):
        folded = " ".join(folded.split())
    return hashlib.sha256(folded.encode()).hexdigest()[:32]


def model_text(article: Article) -> str:
    """What encoder and scorer read: the content, long texts cut to their head and tail."""
    content = article.content
    if len(content) <= MODEL_HEAD_CHARS + MODEL_TAIL_CHARS:
        return content
    return f"{content[:MODEL_HEAD_CHARS]}\n{content[-MODEL_TAIL_CHARS:]}"


def apply_rules(article: Article) -> RuleVerdict | None:
    """Rejection of a cleaned article by rule, or None where it is KEPT. Works in any script."""
    letters = len([*islice(filter(str.isalpha, model_text(article)), MIN_LETTERS)])
    if letters < MIN_LETTERS:
        return RuleVerdict("too_short", f"{letters} letters, at least {MIN_LETTERS} are needed")
    if len(article.text) <= _CONSENT_MAX_CHARS and _has_consent_phrase(folded := article.content.casefold()):
        seen = [phrase for phrase in _CONSENT_PHRASES if phrase in folded]
        if len(seen) >= _CONSENT_MIN_PHRASES:
            return RuleVerdict("consent_wall", "; ".join(seen[:3]))
    return None
