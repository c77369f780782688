"""docker-compose.yml and Dockerfile say what the command line and the settings know."""

import re
from pathlib import Path

import pytest
import typer
import yaml

from core.settings import Settings
from stillhouse import build_app

COMPOSE = yaml.safe_load(Path("docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if str(service.get("image", "")).startswith("stillhouse:")]


def test_every_stage_has_a_service() -> None:
    stages = {service["command"][-1] for name, service in SERVICES.items() if service.get("command", [""])[0] == "run"}
    assert stages == {"screen", "score", "oracle", "labels"}


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_exists(name: str) -> None:
    command, context = typer.main.get_command(build_app()), None
    arguments = list(SERVICES[name]["command"])
    while hasattr(command, "commands"):
        context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize("name", OURS)
def test_variables_of_a_service_are_settings(name: str) -> None:
    known = {f"STILLHOUSE_{field}".upper() for field in Settings.model_fields}
    ours = {variable for variable in SERVICES[name]["environment"] if variable.startswith("STILLHOUSE_")}
    assert ours <= known


def test_services_depend_on_services_and_mount_declared_volumes() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        named = {v.split(":")[0] for v in service.get("volumes", []) if not v.startswith((".", "/"))}
        assert named <= set(COMPOSE["volumes"])


def test_every_service_has_a_health_check() -> None:
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == []


def test_the_image_copies_every_folder_of_the_wheel() -> None:
    text = Path("Dockerfile").read_text(encoding="utf-8")
    folders = re.search(r"^include = \[(.*)\]$", Path("pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert folders is not None
    wanted = {name.strip("/") for name in re.findall(r'"([^"]+)"', folders[1]) if not name.endswith(".py")}
    assert wanted <= set(re.findall(r"^COPY (\w+) ", text, re.MULTILINE))
