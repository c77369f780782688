"""The commerce head: one probability that a text sells rather than reports, from the article's embedding."""

from dataclasses import dataclass
from pathlib import Path

from core.calibration import Gate
from core.errors import PackageError
from core.package import EncoderRef, load_manifest, read_json
from models.heads import Perceptron


@dataclass(frozen=True)
class CommerceHead:
    """`threshold`: from which probability on an article is rejected. `encoder`: what the whole set embeds with."""

    head: Perceptron
    threshold: float
    encoder: EncoderRef
    manifest_sha256: str


def load_commerce(folder: Path) -> CommerceHead:
    """Load and verify filters/commerce/v{n}.

    Raises:
        PackageError: a file is missing, changed, or does not fit; the message names it.
    """
    manifest, digest = load_manifest(folder)
    if manifest.encoder is None:
        raise PackageError(f"{folder / 'manifest.json'}: names no encoder.", action="Release the commerce head again.")
    gate = read_json(folder / "gate.json", Gate)
    if gate.threshold is None:
        raise PackageError(f"{folder / 'gate.json'}: has no threshold.", action="Release the commerce head again.")
    head = Perceptron.load(folder / "head.safetensors")
    if head.outputs != 1:
        raise PackageError(f"{folder / 'head.safetensors'}: has {head.outputs} outputs, one is expected.",
                           action="Release the commerce head again.")  # fmt: skip
    return CommerceHead(head, gate.threshold, manifest.encoder, digest)
