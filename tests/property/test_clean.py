import hashlib
import re
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from core.article import Article
from core.patterns import any_in
from core.text import _CONSENT_PHRASES, apply_rules, clean, content_hash

odd = st.text(st.sampled_from("ab \t\n\r\u00a0\u2028\u3000\x85\x1c\x0b\x00\x7f\u200be\u0301é"), max_size=40)
plain = st.lists(st.sampled_from(["a", "é", "東京", "e\u0301", "\ufeff", " ", "\n", "\n\n", "\n\n\n"])).map("".join)


@settings(deadline=None)
@given(odd | plain)
def test_white_space_is_folded_as_the_two_patterns_say(text):
    """Runs within a line become one space, blank lines one blank line, and the ends go."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n")
    lines = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]", " ", lines)
    expected = re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"[^\S\n]+", " ", lines)).strip()
    assert clean(text) == expected
    assert clean(clean(text)) == clean(text)


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=2), min_size=1), st.text() | odd)
def test_any_of_many_strings_is_found(strings, text):
    assert any_in(strings)(text) == any(one in text for one in strings)
    assert any_in(strings)(f"{text}{min(strings)}{text}")


@given(plain, plain)
def test_the_hash_of_a_text_is_that_of_its_words(title, text):
    article = Article("1", title, text)
    words = " ".join(f"{title} {text}".casefold().split())
    assert content_hash(article) == hashlib.sha256(words.encode()).hexdigest()[:32]


@given(st.lists(st.sampled_from([*_CONSENT_PHRASES, "Reject all", "and", "the news of the day", "."]), max_size=5))
def test_a_wall_is_what_says_two_consent_phrases(parts):
    text = f"The quick brown fox. {' '.join(parts)}"
    said = [phrase for phrase in _CONSENT_PHRASES if phrase in text.casefold()]
    verdict = apply_rules(Article("1", "", text))
    assert (verdict is not None) == (len(said) >= 2)
