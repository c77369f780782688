"""What the board knows about filters: their specs by version, read once from the packages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PackageError
from core.package import Manifest, load_manifest
from core.releases import find_package, load_activation
from core.scoring import LOWEST_TIER
from core.spec import FilterSpec, load_spec


def humanise(name: str) -> str:
    """`change_durability` as a reader would write it."""
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


@dataclass
class Catalogue:
    """Specs of the filter packages in `folders`. A version that is not installed here has no spec."""

    folders: Sequence[Path]
    _specs: dict[tuple[str, str], FilterSpec | None] = field(default_factory=dict)
    _manifests: dict[tuple[str, str], Manifest | None] = field(default_factory=dict)

    def active(self) -> Mapping[str, str]:
        """Active version by filter name, as releases.json says; empty without one."""
        try:
            return load_activation(self.folders).filters
        except PackageError:
            return {}

    def spec(self, name: str, version: str) -> FilterSpec | None:
        key = (name, version)
        if key not in self._specs:
            try:
                self._specs[key] = load_spec(find_package(self.folders, name, version) / "config.yaml")
            except PackageError:
                self._specs[key] = None
        return self._specs[key]

    def manifest(self, name: str, version: str) -> Manifest | None:
        key = (name, version)
        if key not in self._manifests:
            try:
                self._manifests[key] = load_manifest(find_package(self.folders, name, version))[0]
            except PackageError:
                self._manifests[key] = None
        return self._manifests[key]

    def tiers(self, name: str, version: str | None) -> tuple[str, ...]:
        """Tier names from the highest down, without the lowest, which every filter has."""
        spec = self.spec(name, version) if version else None
        return tuple(tier.name for tier in spec.tiers) if spec else ("high", "medium")

    def at_least(self, name: str, version: str | None, tier: str) -> tuple[str, ...]:
        """`tier` and all above it."""
        names = (*self.tiers(name, version), LOWEST_TIER)
        return names[: names.index(tier) + 1] if tier in names else (tier,)
