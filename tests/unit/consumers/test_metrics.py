import random
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from consumers.delivery import Report
from consumers.metrics import METRICS, PrometheusRecorder, open_recorder
from consumers.recorder import Recorder, SilentRecorder
from core import topics
from core.errors import SettingsError
from core.settings import Settings
from tests.support.board_records import articles, scored


@pytest.fixture
def recorder() -> PrometheusRecorder:
    return PrometheusRecorder(CollectorRegistry())


def value(recorder: PrometheusRecorder, name: str, **labels: str) -> float:
    found = recorder.registry.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels}"
    return found


def report_everything(recorder: Recorder) -> None:
    """Every call of the interface once."""
    stage = recorder.stage("score")
    with stage.model():
        pass
    stage.rejected(["commerce"])
    stage.scored([scored(article, random.Random(1)) for article in articles(300)])
    stage.lag("articles.gated", {0: 3, 1: 0})
    recorder.delivered(Report("score", 3, published={topics.SCORED: 2}, dead={"wrong_type": 1}, raw_ms=[1, 0, 2]))
    recorder.oracle_call("answered", 0.25)
    recorder.oracle_budget(1.0, 5.0)
    recorder.releases({"uplifting": ("v6", "a" * 64)})
    recorder.feed_poll("http://f", "ok", 2)
    recorder.feed_entries("published", 3)


def test_every_metric_is_written_by_the_interface(recorder: PrometheusRecorder):
    report_everything(recorder)
    written = {sample.name for family in recorder.registry.collect() for sample in family.samples}
    for metric in METRICS:
        assert set(metric.series) & written, metric.name


def test_a_delivery_in_numbers(recorder: PrometheusRecorder):
    report = Report("screen", 10, published={topics.GATED: 6, topics.REJECTED: 3}, dead={"not_json": 1},
                    handle_sec=0.5, publish_sec=0.25, raw_ms=[1, 2, 0])  # fmt: skip
    recorder.delivered(report)
    recorder.delivered(report)
    assert value(recorder, "stillhouse_records_total", stage="screen", outcome="gated") == 12
    assert value(recorder, "stillhouse_records_total", stage="screen", outcome="dead") == 2
    assert value(recorder, "stillhouse_dead_letters_total", stage="screen", reason="not_json") == 2
    assert value(recorder, "stillhouse_batch_records_sum", stage="screen") == 20
    assert value(recorder, "stillhouse_batch_seconds_sum", stage="screen") == 1.5
    assert value(recorder, "stillhouse_latency_seconds_count", stage="screen") == 4, (
        "records of unknown age are left out"
    )


def test_gates_tiers_and_releases(recorder: PrometheusRecorder):
    records = [scored(article, random.Random(2)) for article in articles(40)]
    recorder.stage("score").scored(records)
    results = [record.filters["uplifting"] for record in records]
    closed = sum(result.stage == "probe" for result in results)
    assert value(recorder, "stillhouse_gate_total", filter="uplifting", state="closed") == closed
    low = sum(result.tier == "low" and result.stage == "probe" for result in results)
    assert value(recorder, "stillhouse_verdicts_total", filter="uplifting", tier="low", stage="probe") == low
    recorder.releases({"uplifting": ("v6", "a" * 64), "belonging": ("v1", "b" * 64)})
    recorder.releases({"uplifting": ("v7", "c" * 64)})
    family = next(f for f in recorder.registry.collect() if f.name == "stillhouse_release_info")
    assert [(s.labels["name"], s.labels["version"], s.value) for s in family.samples] == [("uplifting", "v7", 1.0)]


def test_lag_of_a_partition_that_moved_is_taken_back(recorder: PrometheusRecorder):
    stage = recorder.stage("score")
    stage.lag("articles.gated", {0: 3, 1: 5})
    stage.lag("articles.gated", {0: 4, 1: None})
    assert value(recorder, "stillhouse_lag_records", stage="score", topic="articles.gated", partition="0") == 4
    labels = {"stage": "score", "topic": "articles.gated", "partition": "1"}
    assert recorder.registry.get_sample_value("stillhouse_lag_records", labels) is None


def test_time_in_models_counts_failures_too(recorder: PrometheusRecorder):
    with pytest.raises(ZeroDivisionError), recorder.stage("score").model():
        _ = 1 / 0
    assert value(recorder, "stillhouse_model_seconds_total", stage="score") > 0


def test_the_endpoint_lives_as_long_as_the_block(free_port: int):
    with open_recorder(Settings(metrics_port=free_port)) as recorder:
        report_everything(recorder)
        text = urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=5).read().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {metric.name for metric in METRICS} <= names
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=1)


def test_a_port_in_use_says_what_to_do(free_port: int):
    with (
        open_recorder(Settings(metrics_port=free_port)),
        pytest.raises(SettingsError, match="STILLHOUSE_METRICS_PORT"),
        open_recorder(Settings(metrics_port=free_port)),
    ):
        pass


def test_off_takes_the_same_calls_and_loads_nothing():
    code = (
        "import sys; from consumers.metrics import open_recorder; from core.settings import Settings\n"
        "with open_recorder(Settings()) as r: assert type(r).__name__ == 'SilentRecorder'\n"
        "assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    report_everything(SilentRecorder())
