"""The language a text is written in, as ISO 639-1 where the language has such a code."""

import re
from functools import cache
from typing import Any

_MIN_LETTERS = 20
_MIN_CONFIDENCE = 0.5
_SAMPLE_CHARS = 2_000
_CODE = re.compile(r"^([a-zA-Z]{2,3})(?:[-_].*)?$")


def detect_language(text: str, declared: str | None) -> str | None:
    """What the text shows, else what the feed declares: templates leave "en-us" on feeds in any language."""
    sample = text[:_SAMPLE_CHARS]
    if sum(map(str.isalpha, sample)) >= _MIN_LETTERS:
        language, confidence = _identifier().classify(sample)
        if confidence >= _MIN_CONFIDENCE:
            return str(language)
    match = _CODE.match(declared or "")
    return match[1].lower() if match else None


@cache
def _identifier() -> Any:
    """97 languages, 40 MB; the probabilities are calibrated for the length of the text."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
