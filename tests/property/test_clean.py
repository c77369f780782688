import re

from hypothesis import given, settings
from hypothesis import strategies as st

from core.text import clean

words = st.text(st.sampled_from("ab \t\n\r\u00a0\u2028\u3000\x85\x1c\x0b"), max_size=40)


@settings(deadline=None)
@given(words)
def test_white_space_is_folded_as_the_two_patterns_say(text):
    """Runs within a line become one space, blank lines one blank line, and the ends go."""
    text = text.replace("\r\n", "\n")
    text = re.sub(r"[\x0b\x0c\x0e-\x1f]", " ", text)
    expected = re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"[^\S\n]+", " ", text)).strip()
    assert clean(text) == expected
    assert clean(clean(text)) == clean(text)
