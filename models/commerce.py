"""The commerce package: a head over the embedding, and one that reads the trunk's state where that is in doubt."""

from dataclasses import dataclass
from pathlib import Path

from core.commerce import THRESHOLDS, CommerceThresholds
from core.errors import PackageError
from core.package import EncoderRef, TrunkRef, load_manifest, read_json
from models.heads import Perceptron, load_head

EMBEDDING_HEAD, READING_HEAD = "head.safetensors", "reading.safetensors"


@dataclass(frozen=True)
class CommercePackage:
    """`encoder`: what the whole set embeds with. `trunk`: None where the embedding decides alone."""

    folder: Path
    manifest_sha256: str
    encoder: EncoderRef
    trunk: TrunkRef | None
    thresholds: CommerceThresholds
    head: Perceptron

    def reading_head(self, inputs: int) -> Perceptron:
        """The head over [trunk state, embedding] for texts that the first one leaves in doubt."""
        return load_head(self.folder / READING_HEAD, inputs, 1)


def load_commerce(folder: Path) -> CommercePackage:
    """Load and verify filters/commerce/v{n}.

    Raises:
        PackageError: a file is missing, changed, or does not fit; the message names it.
    """
    manifest, digest = load_manifest(folder)
    thresholds = read_json(folder / THRESHOLDS, CommerceThresholds)
    if manifest.encoder is None:
        raise _unusable(folder / "manifest.json", "names no encoder")
    if (thresholds.doubted_at is None) != (manifest.trunk is None):
        raise _unusable(folder / "manifest.json", f"names a trunk if, and only if, {THRESHOLDS} doubts")
    head = Perceptron.load(folder / EMBEDDING_HEAD)
    if head.outputs != 1:
        raise _unusable(folder / EMBEDDING_HEAD, f"has {head.outputs} outputs, one is expected")
    return CommercePackage(folder, digest, manifest.encoder, manifest.trunk, thresholds, head)


def _unusable(path: Path, fault: str) -> PackageError:
    return PackageError(f"{path}: {fault}.", action="Release the commerce head again.")
