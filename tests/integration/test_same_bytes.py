"""`stillhouse score` and the stream give byte-equal records, in any order and batch size."""

import io
import random

import pytest

from consumers.runtime import open_stream
from core.claims import MemoryClaims
from core.errors import RefusedRecord
from core.jsonl import read_lines
from core.messages import Scored
from core.releases import load_activation
from core.topics import DEAD, REJECTED, SCORED
from models.score_file import score_lines
from tests.support.fakes import fake_loader
from tests.support.kafka import article, await_outcomes, publish


def corpus() -> list:
    walls = [article(f"wall{i}", f"Accept all cookies {i}. Reject all. Manage preferences.") for i in range(3)]
    short = [article(f"short{i}", "kort", title=str(i)) for i in range(3)]
    return [article(f"a{i}", f"Words in many lengths. {i} " * (1 + i % 40)) for i in range(120)] + walls + short


@pytest.mark.parametrize(("batch", "seed"), [(1, 1), (7, 2), (64, 3)])
async def test_the_file_and_the_stream_agree(embedded, tmp_path, batch, seed):
    from tests.support.fakes import write_filters

    settings = embedded.model_copy(update={"filters": (write_filters(tmp_path),), "batch": batch})
    messages = corpus()
    random.Random(seed).shuffle(messages)
    async with open_stream(settings, ("screen", "score"), fake_loader(settings)):
        await publish(settings, messages)
        streamed = await await_outcomes(settings, {message.key for message in messages})

    random.Random(seed + 1).shuffle(messages)
    lines = read_lines(io.BytesIO(b"\n".join(message.value for message in messages)))
    cascade = fake_loader(settings)(load_activation(settings.filters))
    expected = {}
    for result in score_lines(cascade, lines, MemoryClaims(), batch=1 + batch * 3 % 11):
        assert not isinstance(result.outcome, RefusedRecord)
        topic = SCORED if isinstance(result.outcome, Scored) else REJECTED
        expected[result.outcome.article.id.encode()] = (topic, result.outcome.to_bytes())
    assert {record.key: (record.topic, record.value) for record in streamed} == expected
    assert {topic for topic, _ in expected.values()} == {SCORED, REJECTED}
    assert DEAD not in {record.topic for record in streamed}
