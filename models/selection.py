"""Which filters `stillhouse score` uses: the active ones, or those named by NAME, NAME/vN or folder."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import PackageError
from core.inventory import activation, list_entries
from core.package import MANIFEST
from core.releases import Activation, load_activation
from core.settings import Settings
from core.spec import load_spec


def select(settings: Settings, wanted: Sequence[str]) -> tuple[Settings, Activation]:
    """Settings that find the wanted packages, and an activation of these alone.

    Raises:
        PackageError: a name or folder is no trained package.
    """
    if not wanted:
        return settings, load_activation(settings.filters)
    folders = list(settings.filters)
    filters: dict[str, str] = {}
    for item in wanted:
        path = Path(item)
        if (path / "config.yaml").is_file():
            name, version, folder = _from_folder(path.resolve())
            folders.append(folder)
        else:
            name, version = _from_name(settings, item)
        filters[name] = version
    commerce = activation(settings.filters).commerce
    selected = settings.model_copy(update={"filters": tuple(folders)})
    return selected, Activation(filters=filters, commerce=commerce)


def _from_folder(path: Path) -> tuple[str, str, Path]:
    spec = load_spec(path / "config.yaml")
    if (path.parent.name, path.name) != (spec.name, spec.version):
        raise PackageError(
            f"{path}: holds {spec.name}/{spec.version}, so the folder must be named that way.",
            action=f"Move it to a folder {spec.name}/{spec.version}.",
        )
    _must_be_trained(path, f"{spec.name}/{spec.version}")
    return spec.name, spec.version, path.parent.parent


def _from_name(settings: Settings, item: str) -> tuple[str, str]:
    name, _, version = item.partition("/")
    found = {
        entry.version: entry.folder
        for entry in list_entries(settings.filters)
        if entry.kind == "filter" and entry.name == name and not entry.shadowed
    }
    if not found or (version and version not in found):
        raise PackageError(f"{item} is neither a filter nor a package folder.", action="See `stillhouse filters list`.")
    trained = [v for v, folder in found.items() if (folder / MANIFEST).is_file()]
    chosen = version or activation(settings.filters).filters.get(name) or (trained or list(found))[-1]
    _must_be_trained(found[chosen], f"{name}/{chosen}")
    return name, chosen


def _must_be_trained(folder: Path, label: str) -> None:
    if not (folder / MANIFEST).is_file():
        raise PackageError(
            f"{label} is not trained yet.",
            action=f"Train it with `stillhouse train {label.split('/')[0]}`; until then only the oracle can score it.",
        )
