"""Bytes of a document as text, whatever charset they claim to be in."""

import codecs
import re

_XML_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,300}\?>")
_HTML_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9._-]{1,40})""", re.IGNORECASE)
_HTTP_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._-]{1,40})""", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_XML_STARTS = ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be"))

# Text in these never came from a web server, and some take quadratic time to decode.
_REFUSED = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "undefined"}
_HIGH_BYTES = bytes(range(128, 256))
_SAMPLE_BYTES = 200_000
_MAX_DAMAGE = 0.05
"""One cut or damaged character in a long UTF-8 text does not make it another charset; in Latin-1 the share is 1."""


def decode(body: bytes, content_type: str = "") -> str:
    """Text of `body`. A byte-order mark decides; else valid UTF-8 is UTF-8, whatever is declared: text of another
    charset is almost never valid UTF-8 by chance, while wrong declarations are common. Then what HTTP and XML
    declare; windows-1252 last, which cannot fail."""
    for mark, name in (*_BOMS, *_XML_STARTS):
        if body.startswith(mark):
            return body.decode(name, "replace").removeprefix("\ufeff")
    try:
        return body.decode()
    except UnicodeDecodeError:
        if _damage(body) < _MAX_DAMAGE:
            return body.decode("utf-8", "replace")
    for declared in _declared(body, content_type):
        try:
            if codecs.lookup(declared).name not in _REFUSED:
                return body.decode(declared)
        except (LookupError, UnicodeError):
            continue
    return body.decode("windows-1252", "replace")


def xml_text(body: bytes, content_type: str = "") -> str:
    """Text of an XML document without its declaration, whose encoding no longer holds."""
    return _XML_DECLARATION.sub("", decode(body, content_type), count=1).replace("\0", "")


def _declared(body: bytes, content_type: str) -> list[str]:
    found = [match[1] for match in [_HTTP_CHARSET.search(content_type)] if match]
    if match := _XML_DECLARED.match(body[:400]) or _HTML_DECLARED.search(body[:4096]):
        found.append(match[1].decode("ascii"))
    return [name for name in found if name.lower() not in ("us-ascii", "ascii", "utf-8", "utf8")]


def _damage(body: bytes) -> float:
    """Share of the non-ASCII bytes that are not valid UTF-8."""
    sample = body[:_SAMPLE_BYTES]
    high = len(sample) - len(sample.translate(None, _HIGH_BYTES))
    return sample.decode("utf-8", "replace").count("\ufffd") / max(high, 1)
