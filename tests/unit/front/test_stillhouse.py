"""The front door: light, and its errors say what to do."""

import json
import resource
import subprocess
import sys

import pytest
import typer

import stillhouse as front
from core.errors import StillhouseError

HEAVY = ("torch", "faststream", "aiokafka", "transformers", "openvino", "deltalake", "sklearn", "google.genai", "scipy")


def test_help_and_core_load_no_heavy_library() -> None:
    code = (
        "import sys, contextlib, io\n"
        "sys.argv = ['stillhouse', '--help']\n"
        "import stillhouse\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): stillhouse.main()\n"
        "import pkgutil, core, importlib\n"
        "for module in pkgutil.iter_modules(core.__path__): importlib.import_module('core.' + module.name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr


def test_help_is_fast() -> None:
    """Processor time, which other work on the machine does not lengthen as it does wall time."""

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(3):
        before = seconds()
        subprocess.run([sys.executable, "-m", "stillhouse", "--help"], capture_output=True, check=True, timeout=60)
        times.append(seconds() - before)
    assert min(times) < 0.5


def test_version_is_that_of_the_package(stillhouse) -> None:
    assert stillhouse("--version").stdout.startswith("stillhouse 0.")


def test_an_error_is_told_with_its_action_and_without_a_traceback(stillhouse) -> None:
    run = stillhouse("publish", "no-such-file.jsonl")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "Error: no-such-file.jsonl: No such file or directory.",
        "  -> Name a file of JSON lines, or - for stdin.",
    ]


def test_every_command_has_a_help_text() -> None:
    missing = []

    def visit(command, path: str) -> None:
        if not command.help:
            missing.append(path)
        for name, child in getattr(command, "commands", {}).items():
            visit(child, f"{path} {name}")

    visit(typer.main.get_command(front.build_app()), "stillhouse")
    assert missing == []


def test_every_command_has_a_place_in_the_help() -> None:
    placed = {name for names in front.PANELS.values() for name in names}
    assert set(typer.main.get_command(front.build_app()).commands) <= placed


def test_folders_may_share_a_group() -> None:
    app, first, second = typer.Typer(), typer.Typer(), typer.Typer()
    first.command("a")(lambda: None)
    second.command("b")(lambda: None)
    app.add_typer(first, name="both")
    app.add_typer(second, name="both")
    front._merge_groups(app)
    assert list(typer.main.get_command(app).commands["both"].commands) == ["a", "b"]


def test_a_group_without_a_name_is_refused() -> None:
    app = typer.Typer()
    app.add_typer(typer.Typer())
    with pytest.raises(TypeError, match="name="):
        front._merge_groups(app)


def test_main_ends_with_1_on_an_error(monkeypatch, capsys) -> None:
    def broken() -> None:
        raise StillhouseError("It broke.", action="Mend it.")

    monkeypatch.setattr(front, "build_app", lambda: broken)
    with pytest.raises(SystemExit) as exit_:
        front.main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "Error: It broke.\n  -> Mend it.\n"


def test_config_names_origins_and_masks_secrets(stillhouse) -> None:
    run = stillhouse("config", "--json", STILLHOUSE_BATCH="7", STILLHOUSE_SASL_PASSWORD="geheim", STILLHOUSE_KAKFA="x")
    values = json.loads(run.stdout)
    assert (values["batch"]["value"], values["batch"]["origin"]) == (7, "environment")
    assert values["oracle_daily_usd"]["origin"] == "default"
    assert "geheim" not in run.stdout + run.stderr
    assert "STILLHOUSE_KAKFA is set, but no setting has this name." in run.stderr


def test_a_bad_setting_is_named(stillhouse) -> None:
    run = stillhouse("config", STILLHOUSE_BATCH="many")
    assert run.returncode == 1
    assert "STILLHOUSE_BATCH" in run.stderr
