import pytest

from core.article import Article
from core.text import MODEL_HEAD_CHARS, MODEL_TAIL_CHARS, apply_rules, clean, clean_article, content_hash, model_text


def test_markup_entities_and_white_space_are_resolved():
    assert clean("<p>Caf&eacute;\t &amp;  bar</p>\r\n\r\n\r\n<b>x</b>") == "Café & bar\n\nx"


def test_angle_brackets_that_are_no_markup_stay():
    assert clean("3 < 5 and 7 > 2") == "3 < 5 and 7 > 2"


def test_hostile_markup_is_cleaned_in_linear_time():
    clean("<" * 200_000 + "a" * 200_000)
    clean("<a " * 100_000)


def test_equal_words_have_equal_hashes_whatever_case_and_space():
    one = clean_article(Article("1", "Hello  World", "Some text."))
    two = clean_article(Article("2", "hello world", " some\ttext. "))
    assert content_hash(one) == content_hash(two)


def test_very_long_texts_are_cut_to_head_and_tail():
    article = Article("1", "T", "a" * 50_000 + "END")
    assert len(model_text(article)) == MODEL_HEAD_CHARS + MODEL_TAIL_CHARS + 1
    assert model_text(article).endswith("END")


@pytest.mark.parametrize(
    ("article", "reason"),
    [
        pytest.param(Article("1", "x", ""), "too_short", id="one-character"),
        pytest.param(Article("1", "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉", ""), "too_short", id="only-emoji"),
        pytest.param(
            Article("1", "Before you continue", "We and our partners use cookies. Accept all. Reject all."),
            "consent_wall",
            id="consent-wall",
        ),
        pytest.param(
            Article("1", "De Krant", "Wij en onze partners gebruiken cookies. Alles accepteren"),
            "consent_wall",
            id="dutch-consent-wall",
        ),
        pytest.param(
            Article("1", "Court fines site over cookies", "Users had to press accept all before reading the news."),
            None,
            id="report-about-cookies",
        ),
        pytest.param(Article("1", "東京で新しい図書館が開館、地域の子どもたちに", ""), None, id="short-japanese"),
    ],
)
def test_rules(article, reason):
    verdict = apply_rules(article)
    assert (verdict and verdict.reason) == reason
