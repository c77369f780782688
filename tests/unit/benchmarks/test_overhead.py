"""What the overhead benchmark measures is the stream's own code, on answers that look like real ones."""

import numpy as np

from benchmarks.no_models import cascade_without_models
from benchmarks.overhead import measure_overhead
from core.article import Article
from core.releases import load_activation
from core.settings import load_settings


def test_both_stages_are_timed_on_articles_that_reach_the_scorer():
    result = measure_overhead(load_settings(), count=64, repeats=1, with_kafka=False)
    times = result["cpu_us_per_article"]
    assert 0 < times["of which verdicts"] < result["screen_and_score"]
    assert 1_900 < result["article_bytes"] < 2_100
    assert result["filters"] == len(load_activation(load_settings().filters).filters)


def test_answers_are_spread_over_the_scale_and_few_are_asked():
    cascade = cascade_without_models(load_settings())
    gated = cascade.embed([Article(str(n), "A title of some words", "And a text.") for n in range(500)])
    outcomes = cascade.score([cascade.judge(item) for item in gated])
    for name in cascade.packages:
        weighted = [outcome.scored.filters[name].weighted for outcome in outcomes]
        assert np.quantile(weighted, 0.9) - np.quantile(weighted, 0.1) > 1
    assert 0 < np.mean([outcome.request is not None for outcome in outcomes]) < 0.5
