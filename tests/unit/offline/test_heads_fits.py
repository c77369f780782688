from pathlib import Path

import numpy as np
import pytest

from core.article import Article
from core.errors import PackageError
from models.heads import HeadProbes, Perceptron, load_head
from offline.training.commerce import CommerceData, certain_threshold, confirming_threshold, fit_commerce, said
from offline.training.features import FeatureCache
from offline.training.fit import FilterData, fit_filter
from offline.training.linear import Standard, apply, blend, fit_ridge, on_columns, stack
from offline.training.networks import Recipe, fit_scores
from tests.unit.offline.tiny_gemma import tiny_spec


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def random_head(rng: np.random.Generator, inputs: int = 6, outputs: int = 3, units: int = 4) -> Perceptron:
    shapes = {
        "center": (inputs,), "scale": (inputs,), "skip": (outputs, inputs), "bias": (outputs,),
        "hidden": (units, inputs), "hidden_bias": (units,), "out": (outputs, units),
    }  # fmt: skip
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    values["scale"] = np.abs(values["scale"]) + 0.5
    return Perceptron(**values)


def test_a_row_does_not_depend_on_its_neighbours(rng: np.random.Generator) -> None:
    head = random_head(rng, 384, 7, 32)
    x = rng.normal(size=(9, 384)).astype(np.float32)
    alone = np.stack([head(row) for row in x])
    assert np.array_equal(head.rows(x), alone)
    assert np.array_equal(head.rows(x[::-1]), alone[::-1])


def test_save_and_load_is_identity(rng: np.random.Generator, tmp_path: Path) -> None:
    head = random_head(rng)
    head.save(tmp_path / "head.safetensors")
    x = rng.normal(size=6).astype(np.float32)
    assert np.array_equal(load_head(tmp_path / "head.safetensors", 6, 3)(x), head(x))


def test_a_head_of_another_size_or_a_damaged_file_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    random_head(rng).save(path)
    with pytest.raises(PackageError, match="expected 7 to 3"):
        load_head(path, 7, 3)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PackageError, match=r"head\.safetensors"):
        load_head(path, 6, 3)


def test_ridge_finds_a_linear_rule_and_ignores_weightless_rows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 5)).astype(np.float32)
    rule = rng.normal(size=(2, 5)).astype(np.float32)
    y = x @ rule.T + 3
    weights = np.ones(400)
    y[:50] = 99
    weights[:50] = 1e-9
    head = fit_ridge(Standard.of(x), x, y, weights, alpha=1e-6)
    fresh = rng.normal(size=(20, 5)).astype(np.float32)
    np.testing.assert_allclose(apply(head, fresh), fresh @ rule.T + 3, atol=1e-2)


def test_blends_and_stacks_equal_their_parts(rng: np.random.Generator) -> None:
    first, second = random_head(rng), random_head(rng)
    second = Perceptron(**(vars(second) | {"center": first.center, "scale": first.scale}))
    x = rng.normal(size=(10, 6)).astype(np.float32)
    np.testing.assert_allclose(
        apply(blend([(first, 0.3), (second, 0.7)]), x), 0.3 * apply(first, x) + 0.7 * apply(second, x), atol=1e-4
    )
    both = np.concatenate([apply(first, x), apply(second, x)], axis=1)
    np.testing.assert_allclose(apply(stack(first, second), x), both, atol=1e-4)


def test_a_head_over_some_columns_is_the_same_over_all(rng: np.random.Generator) -> None:
    x = rng.normal(loc=2, size=(50, 8)).astype(np.float32)
    part = fit_ridge(Standard.of(x[:, 3:]), x[:, 3:], rng.normal(size=(50, 2)), np.ones(50), 0.1)
    whole = on_columns(part, Standard.of(x), slice(3, 8))
    np.testing.assert_allclose(apply(whole, x), apply(part, x[:, 3:]), atol=1e-4)


def filter_data(rng: np.random.Generator, count: int = 500) -> FilterData:
    hidden = rng.normal(size=(count, 2))
    state = hidden @ rng.normal(size=(2, 12)) + 0.1 * rng.normal(size=(count, 12))
    embedding = hidden @ rng.normal(size=(2, 6)) + 1.5 * rng.normal(size=(count, 6))
    truth = np.clip(2 * hidden + 1, 0, 10).astype(np.float32)
    rows = np.arange(count)
    return FilterData(
        spec=tiny_spec(),
        ids=tuple(map(str, rows)),
        features=np.concatenate([state, embedding], axis=1).astype(np.float32),
        state_width=12,
        truth=truth,
        weights=np.ones(count, dtype=np.float32),
        train=rows[:350],
        val=rows[350:430],
        test=rows[430:],
    )


def test_a_fitted_filter_beats_its_encoder_alone_on_held_out_rows(rng: np.random.Generator) -> None:
    from dataclasses import replace

    from offline.predictions import predict

    data = filter_data(rng)
    fitted = fit_filter(data, joint=None)
    found = predict(fitted.learned(data.spec), data.features[data.test], data.state_width, gates=False)
    alone = fit_filter(replace(data, features=data.embeddings, state_width=0), joint=None)
    floor = predict(alone.learned(data.spec), data.embeddings[data.test], 0, gates=False)
    truth = data.oracle[data.test]
    assert np.abs(found.weighted - truth).mean() < 0.6 * np.abs(floor.weighted - truth).mean()
    inside = (truth >= found.low - 0.01) & (truth <= found.high + 0.01)
    assert inside.mean() > 0.75


def commerce_data(rng: np.random.Generator, count: int = 400) -> CommerceData:
    """Language is the first coordinate, commerce the second: only the second may count."""
    selling = rng.random(count) < 0.2
    foreign = rng.random(count) < 0.4
    x = rng.normal(size=(count, 8))
    x[:, 0] += 4 * foreign
    x[:, 1] += 5 * selling
    order = rng.permutation(count)
    return CommerceData(
        states=(x[:, :2] + rng.normal(scale=0.3, size=(count, 2))).astype(np.float32),
        embeddings=x.astype(np.float32),
        scores=np.where(selling, 8.0, 1.0),
        weights=np.ones(count),
        languages=tuple("el" if f else "en" for f in foreign),
        train=order[: count // 2],
        val=order[count // 2 : 3 * count // 4],
        test=order[3 * count // 4 :],
    )


def test_commerce_is_found_and_no_language_is_singled_out(rng: np.random.Generator) -> None:
    fit = fit_commerce(commerce_data(rng))
    assert fit.figures["held_out"]["recall"] > 0.85
    assert fit.figures["held_out"]["false_positives_non_english"] <= 0.03
    assert fit.figures["embedding_out_of_fold"]["others_rejected"] <= 0.003
    fresh = commerce_data(rng)
    rejected = said(fit, fresh, np.arange(len(fresh.scores)))
    assert rejected[fresh.positive].mean() > 0.85
    for language in ("en", "el"):
        rows = ~fresh.positive & (np.array(fresh.languages) == language)
        assert rejected[rows].mean() <= 0.05


def test_the_threshold_keeps_false_rejections_of_every_language_group_low(rng: np.random.Generator) -> None:
    data = commerce_data(rng, 2000)
    probability = np.clip(0.2 * rng.random(2000) + 0.7 * data.positive, 0, 1)
    foreign = np.array(data.languages) == "el"
    probability[foreign & ~data.positive] += 0.3
    threshold = certain_threshold(probability, data, np.arange(2000))
    assert (probability[foreign & ~data.positive] >= threshold).mean() <= 0.002


def test_the_confirming_threshold_expects_few_wrong_rejections() -> None:
    probability = np.concatenate([np.full(50, 0.9), np.full(10, 0.5), np.full(940, 0.01)])
    threshold = confirming_threshold(probability)
    assert threshold == 0.5
    assert (1 - probability[probability >= threshold]).sum() <= 0.011 * (1 - probability).sum()


def test_probe_gives_dimensions_and_a_gate_between_0_and_1(rng: np.random.Generator) -> None:
    probes = HeadProbes(random_head(rng, 6, 1), {"kindness": random_head(rng, 6, 3)})
    x = rng.normal(size=6).astype(np.float32)
    found = probes.predict(x)["kindness"]
    assert found.raw.shape == (2,)
    assert 0 < found.gate < 1
    assert 0 < probes.commerce(x) < 1


def test_features_are_computed_once_and_survive_a_kill(tmp_path: Path) -> None:
    articles = [Article(str(i), f"title {i}", "some words of text") for i in range(600)]
    asked: list[str] = []

    def compute(texts: list[str]) -> np.ndarray:
        if len(asked) >= 256:
            raise KeyboardInterrupt
        asked.extend(texts)
        return np.array([[float(text.split()[1])] for text in texts], dtype=np.float32)

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path, "test", compute).vectors(articles, lambda *_: None)
    done = list(asked)
    asked.clear()
    again = FeatureCache(
        tmp_path,
        "test",
        lambda texts: (asked.extend(texts), np.array([[float(t.split()[1])] for t in texts], dtype=np.float32))[1],
    )
    found = again.vectors(articles, lambda *_: None)
    assert found[:, 0].tolist() == list(map(float, range(600)))
    assert not set(asked) & set(done), "what was saved is not computed again"


def test_networks_see_what_a_line_cannot(rng: np.random.Generator) -> None:
    """Two scores on different scales, one of them the product of two features."""
    x = rng.normal(size=(1500, 6)).astype(np.float32)
    y = np.stack([4 + 3 * x[:, 0] * x[:, 1], 2 + x[:, 2]], axis=1)
    standard = Standard.of(x[:1000])
    recipe = Recipe(units=32, dropout=(0.0, 0.1), weight_decay=0.01, epochs=60, learning_rate=5e-3, seeds=2)
    found = apply(fit_scores(standard, x[:1000], y[:1000], np.ones(1000), recipe), x[1000:])
    line = apply(fit_ridge(standard, x[:1000], y[:1000], np.ones(1000), 0.01), x[1000:])
    error, linear = (np.abs(guess - y[1000:]).mean(0) for guess in (found, line))
    assert error[0] < 0.5 * linear[0]
    assert error[1] < 0.5
