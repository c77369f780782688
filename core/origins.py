"""Where each setting came from, for `stillhouse config`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import TomlConfigSettingsSource

from core.settings import CONFIG_FILE, Settings

Origin = Literal["environment", "file", "default"]
MASK = "********"
_URL_PASSWORD = re.compile(r"(?<=//)[^/@\s]+(?=@)")


@dataclass(frozen=True, slots=True)
class SettingValue:
    """One setting as shown: `value` is masked where it is a secret."""

    name: str
    variable: str
    value: str | int | float | bool | list[str] | None
    origin: Origin
    description: str


def describe(settings: Settings) -> list[SettingValue]:
    """Every setting with its value and origin, in the order of their declaration."""
    in_file = set(TomlConfigSettingsSource(Settings)()) if Path(CONFIG_FILE).is_file() else set()
    in_environment = {name.upper() for name in os.environ}
    prefix = str(Settings.model_config.get("env_prefix", ""))
    shown = []
    for name, field in Settings.model_fields.items():
        variable = f"{prefix}{name}".upper()
        origin: Origin = "default"
        if variable in in_environment:
            origin = "environment"
        elif name in in_file:
            origin = "file"
        shown.append(SettingValue(name, variable, _plain(getattr(settings, name)), origin, field.description or ""))
    return shown


def unknown_variables() -> list[str]:
    """STILLHOUSE_* variables of the environment that name no setting: usually a slip of the pen."""
    prefix = str(Settings.model_config.get("env_prefix", ""))
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    return sorted(n for n in os.environ if n.upper().startswith(prefix) and n.upper() not in known)


def _plain(value: object) -> str | int | float | bool | list[str] | None:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if value is None or isinstance(value, int | float | bool):
        return value
    return _without_password(str(value))


def _without_password(text: str) -> str:
    return _URL_PASSWORD.sub(MASK, text)
