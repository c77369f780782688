"""Plain text of the HTML that feeds carry in titles, summaries and bodies."""

import re

from lxml import etree, html

from core.text import clean

_LOOKS_LIKE_HTML = re.compile(r"<[a-zA-Z!/]|&[a-zA-Z#]")
_DROPPED = ("script", "style", "noscript", "template", "iframe", "object", "svg", "form", "head")
_BLOCKS = (
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer", "h1",
    "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section", "table", "td", "th", "tr",
    "ul",
)  # fmt: skip
_MAX_HTML_CHARS = 1_000_000


def plain_text(markup: str) -> str:
    """Paragraphs of `markup`, parted by empty lines; scripts, styles and forms are left out."""
    if not _LOOKS_LIKE_HTML.search(markup):
        return clean(markup)
    try:
        # recover: libxml2 mends what it can; its depth limit ends nests made to exhaust the stack.
        root = html.document_fromstring(markup[:_MAX_HTML_CHARS].encode("utf-8", "replace"), parser=_parser())
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return clean(markup)
    etree.strip_elements(root, *_DROPPED, etree.Comment, etree.ProcessingInstruction, with_tail=False)
    for element in root.iter(*_BLOCKS):
        element.text = f"\n\n{element.text or ''}"
        element.tail = f"\n\n{element.tail or ''}"
    return clean("".join(root.itertext()))


def one_line(markup: str) -> str:
    """A title: plain text without line breaks."""
    return " ".join(plain_text(markup).split())


def _parser() -> html.HTMLParser:
    return html.HTMLParser(encoding="utf-8", recover=True, no_network=True, huge_tree=False)
