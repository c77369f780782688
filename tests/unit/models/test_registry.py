import logging

import numpy as np
import orjson
import pytest

from core.article import Article, decode_article
from core.cascade import ScorerInput
from core.claims import MemoryClaims
from core.commerce import probability
from core.errors import PackageError, RefusedRecord
from core.messages import Rejected
from core.package import load_package
from core.text import model_text
from models.engines.openvino_runtime import CompiledGraph
from models.registry import ReleaseLoader, load_cascade
from tests.support.release import (
    Widths,
    load_manifest_unchecked,
    make_commerce_doubt,
    resign,
    tiny_settings,
    write_filter,
    write_own_adapter,
    write_trunk,
)

ARTICLES = [
    Article(id=str(i), title=f"Title {i}", text="Some words on the river and its people. " * (1 + i % 5))
    for i in range(12)
]


def records(cascade, articles):
    """Records by id, through every step of the cascade."""
    gated = cascade.embed([item for item in cascade.prepare(articles, MemoryClaims()) if isinstance(item, Article)])
    judged = [cascade.judge(item) for item in gated]
    outcomes = cascade.score([item for item in judged if not isinstance(item, Rejected)])
    return {outcome.scored.article.id: outcome.scored.to_bytes() for outcome in outcomes}


@pytest.fixture
def distinct():
    return [Article(a.id, a.title, f"{a.text} number {a.id}") for a in ARTICLES]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_records_do_not_depend_on_order_or_batch(tmp_path, engine, distinct):
    settings = tiny_settings(tmp_path, ("demo", "other"), engine)
    together = records(load_cascade(settings), distinct)
    cascade = load_cascade(settings)
    alone = {}
    for article in reversed(distinct):
        alone |= records(cascade, [article])
    assert len(together) == len(distinct)
    assert alone == together


def test_release_set_names_filters_trunk_and_commerce(tmp_path):
    cascade = load_cascade(tiny_settings(tmp_path, ("demo", "other")))
    assert set(cascade.releases.versions) == {"demo", "other", "trunks/tiny", "commerce"}
    assert cascade.models.engine.startswith("openvino-")


def test_the_trunk_reads_what_the_commerce_head_doubts(tmp_path, distinct):
    settings = tiny_settings(tmp_path, ("demo", "other"))
    (filters,) = settings.filters
    trunk = load_package(filters / "demo" / "v1").manifest.trunk
    make_commerce_doubt(filters / "commerce" / "v2", Widths(), trunk, confirmed_at=0.5)
    cascade = load_cascade(settings)
    judged = [cascade.judge(gated) for gated in cascade.embed(distinct)]
    assert all(item.doubted for item in judged)
    outcomes = cascade.score(judged)
    expected = [
        probability(float(cascade.models.scorer.heads["commerce"].head(_features(cascade, item))[0])) for item in judged
    ]
    got = [o.commerce if isinstance(o, Rejected) else o.scored.commerce for o in outcomes]
    assert got == expected
    assert {isinstance(o, Rejected) for o in outcomes} <= {True, False}
    assert all(isinstance(o, Rejected) == (p >= 0.5) for o, p in zip(outcomes, expected, strict=True))


def _features(cascade, judged):
    """[trunk state, embedding] of one article."""
    (trunk,) = cascade.models.scorer._trunks.values()
    (state,) = trunk.encode([model_text(judged.gated.article)])
    return np.concatenate([state, judged.gated.embedding])


def test_a_commerce_package_that_doubts_names_the_trunk_that_reads(tmp_path):
    settings = tiny_settings(tmp_path)
    folder = settings.filters[0] / "commerce" / "v2"
    make_commerce_doubt(folder, Widths(), None, confirmed_at=0.5)
    with pytest.raises(PackageError, match=r"manifest\.json: names a trunk"):
        load_cascade(settings)


@pytest.mark.parametrize("file", ["head.safetensors", "probe.safetensors", "calibration.json"])
def test_a_tampered_package_is_left_out_and_named(tmp_path, caplog, file):
    settings = tiny_settings(tmp_path, ("demo", "other"))
    path = settings.filters[0] / "other" / "v1" / file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    loaded = ReleaseLoader(settings).load()
    assert set(loaded.cascade.packages) == {"demo"}
    assert str(path) in str(loaded.faults["other"])
    assert "other/v1 is left out" in caplog.text


def test_a_tampered_trunk_stops_every_filter_that_reads_it(tmp_path):
    settings = tiny_settings(tmp_path)
    path = settings.filters[0] / "trunks/tiny/v1/adapter/adapter_model.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(PackageError, match=r"adapter_model\.safetensors: sha256 differs"):
        load_cascade(settings)


def test_a_head_of_another_trunk_is_refused(tmp_path):
    settings = tiny_settings(tmp_path, ("demo", "other"))
    folder = write_filter(settings.filters[0] / "x", "other", None, Widths(embedding=7))
    target = settings.filters[0] / "other" / "v1"
    (folder / "head.safetensors").rename(target / "head.safetensors")
    resign(target)
    loaded = ReleaseLoader(settings).load()
    assert "head.safetensors: maps 7 inputs" in str(loaded.faults["other"])


def test_a_trunk_of_another_base_model_says_which_setting_helps(tmp_path):
    settings = tiny_settings(tmp_path)
    folder = settings.filters[0] / "trunks/tiny/v1"
    manifest, _ = load_manifest_unchecked(folder)
    resign(folder, base_model=manifest.base_model.model_copy(update={"id": "google/gemma-3-1b-pt"}))
    from core.package import sha256_file

    demo = settings.filters[0] / "demo/v1"
    trunk = load_manifest_unchecked(demo)[0].trunk
    resign(demo, trunk=trunk.model_copy(update={"sha256": sha256_file(folder / "manifest.json")}))
    with pytest.raises(PackageError, match="STILLHOUSE_BASE_MODEL=google/gemma-3-1b-pt"):
        load_cascade(settings)


@pytest.mark.parametrize("suffix", [".weight", ".default.weight"], ids=["old-keys", "new-keys"])
def test_an_adapter_from_the_hub_runs_on_a_pass_of_its_own(tmp_path, caplog, suffix, distinct):
    settings = tiny_settings(tmp_path, ("demo", "hub"))
    write_own_adapter(settings.filters[0] / "hub" / "v1", suffix)
    with caplog.at_level(logging.INFO):
        cascade = load_cascade(settings, gates=False)
    assert "hub has an adapter of its own: it costs a pass of its own" in caplog.text
    scored = records(cascade, distinct)
    results = [orjson.loads(record)["filters"] for record in scored.values()]
    assert all(result["hub"]["stage"] == "scorer" for result in results)
    assert len({result["hub"]["scores"]["a"] for result in results}) > 1


def test_a_filter_without_a_trunk_reads_the_embedding_alone(tmp_path, distinct):
    settings = tiny_settings(tmp_path)
    write_filter(settings.filters[0], "plain", None, Widths())
    releases = {"filters": {"plain": "v1"}, "commerce": "v2"}
    (settings.filters[0] / "releases.json").write_bytes(orjson.dumps(releases))
    cascade = load_cascade(settings)
    assert set(cascade.releases.versions) == {"plain", "commerce"}
    assert len(records(cascade, distinct)) == len(distinct)


def test_a_new_head_keeps_encoder_and_trunk(tmp_path):
    settings = tiny_settings(tmp_path)
    loader = ReleaseLoader(settings)
    first = loader.load().cascade
    demo = settings.filters[0] / "demo/v1"
    (demo / "prompt.md").write_text("# Another rubric\n")
    resign(demo)
    second = loader.load().cascade
    assert second.releases.id != first.releases.id
    assert second.models.encoder is first.models.encoder
    assert list(second.models.scorer._trunks.values()) == list(first.models.scorer._trunks.values())


def test_a_new_trunk_replaces_the_old_one(tmp_path, distinct):
    settings = tiny_settings(tmp_path)
    loader = ReleaseLoader(settings)
    before = loader.load(gates=False).cascade
    trunk = write_trunk(settings.filters[0], "v2", max_tokens=48)
    resign(settings.filters[0] / "demo/v1", trunk=trunk)
    after = loader.load(gates=False).cascade
    assert len(after.models.scorer._trunks) == 1
    # The old set goes on scoring the batch in hand.
    assert len(records(before, distinct)) == len(records(after, distinct)) == len(distinct)


@pytest.mark.parametrize(
    "text",
    ["x", "\U0001f600" * 500, " " * 1000, "й" * 500_000, "\x00\x01", "a\n\n" * 400],
    ids=["one-letter", "emoji", "spaces", "1-MiB", "control", "lines"],
)
def test_odd_texts_are_scored(tmp_path, text):
    models = load_cascade(tiny_settings(tmp_path)).models
    (vector,) = models.encoder.encode([text])
    (raw,) = models.scorer.score([ScorerInput(text, vector, ("demo",))])
    assert np.isfinite(vector).all()
    assert np.isfinite(raw["demo"]).all()


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_odd_records_are_scored_or_rejected_with_a_reason(tmp_path, engine):
    """From the bytes of articles.raw on, beside an ordinary article that does not notice."""
    cascade = load_cascade(tiny_settings(tmp_path).model_copy(update={"engine": engine}), gates=False)
    texts = {"ordinary": "Some words on the river and its people.", "one-letter": "x", "emoji": "\U0001f600" * 500,
             "almost-1-MiB": "й" * 520_000, "control": "\x00\x01", "lines": "a\n\n" * 400}  # fmt: skip
    odd = [decode_article(orjson.dumps({"id": name, "title": "", "text": text})) for name, text in texts.items()]
    with pytest.raises(RefusedRecord, match="content"):
        decode_article(orjson.dumps({"id": "spaces", "title": "", "text": " " * 1000}))
    prepared = cascade.prepare(odd, MemoryClaims())
    rejected = {item.article.id: item.reason for item in prepared if isinstance(item, Rejected)}
    assert rejected == dict.fromkeys(("one-letter", "emoji", "control"), "too_short")
    assert set(records(cascade, odd)) == {"ordinary", "almost-1-MiB", "lines"}
    assert records(cascade, odd)["ordinary"] == records(cascade, odd[:1])["ordinary"]


def test_exhausted_memory_halves_a_batch_of_the_real_engine(tmp_path, distinct, monkeypatch, caplog):
    """The same bytes come out, and the log says what happened."""
    cascade = load_cascade(tiny_settings(tmp_path).model_copy(update={"engine": "openvino"}), gates=False)
    whole = records(cascade, distinct)
    run = CompiledGraph.__call__

    def exhausted(graph, inputs):
        if len(inputs["embeddings"]) > 1:
            raise MemoryError("could not allocate")
        return run(graph, inputs)

    monkeypatch.setattr(CompiledGraph, "__call__", exhausted)
    cascade.models.encoder.forget()
    cascade.models.scorer.forget()
    with caplog.at_level(logging.WARNING):
        assert records(cascade, distinct) == whole
    assert "going on in halves: could not allocate" in caplog.text
