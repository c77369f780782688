from core.origins import MASK, describe
from core.settings import Settings


def origins(settings: Settings) -> dict[str, tuple[object, str]]:
    return {value.name: (value.value, value.origin) for value in describe(settings)}


def test_environment_beats_file_beats_default(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stillhouse.toml").write_text('batch = 3\nport = 1234\nsasl_password = "secret"\n')
    monkeypatch.setenv("STILLHOUSE_PORT", "4321")
    found = origins(Settings())
    assert found["batch"] == (3, "file")
    assert found["port"] == (4321, "environment")
    assert found["engine"] == ("auto", "default")
    assert found["sasl_password"] == (MASK, "file")


def test_a_password_inside_a_url_is_masked() -> None:
    assert origins(Settings(labels="s3://key:secret@bucket/labels"))["labels"][0] == f"s3://{MASK}@bucket/labels"
