"""A whole release set on disk with random heads: filters, a shared trunk and the commerce head."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from core.package import BaseModelRef, EncoderRef, Manifest, TrunkRef, load_manifest, write_manifest
from core.settings import Settings, load_settings
from models.heads import Perceptron
from models.weights.cache import converted_once
from models.weights.e5 import MODEL_ID as ENCODER_ID
from models.weights.gemma import MODEL_ID as BASE_ID
from tests.support.specs import CONFIG, write_package
from tests.support.tiny_models import BERT, GEMMA, write_adapter, write_bert, write_gemma

DIMENSIONS = len(CONFIG["dimensions"])


@dataclass(frozen=True)
class Widths:
    """Lengths of the trunk's state and of the embedding."""

    state: int = GEMMA["hidden_size"]
    embedding: int = BERT["hidden_size"]


def tiny_home(home: Path) -> Path:
    """STILLHOUSE_HOME with tiny random weights in place of the real ones."""
    for folder, model_id, write in (
        ("gemma-3-270m", BASE_ID, write_gemma),
        ("multilingual-e5-small", ENCODER_ID, write_bert),
    ):

        def convert(partial: Path, _report: object, write=write) -> None:
            write(partial / "model")
            for path in (partial / "model").iterdir():
                path.rename(partial / path.name)
            (partial / "model").rmdir()
            write_byte_tokenizer(partial)

        converted_once(home / "weights" / folder, model_id, convert, lambda _what, _share: None)
    return home


def write_byte_tokenizer(folder: Path) -> None:
    """One token per byte, ids 3 to 258."""
    from tokenizers import Tokenizer, models

    special = ["<pad>", "<eos>", "<bos>"]
    vocab = {piece: i for i, piece in enumerate([*special, *(f"<0x{byte:02X}>" for byte in range(256)), "<unk>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.save(str(folder / "tokenizer.json"))


def write_release(
    filters: Path, names: Sequence[str] = ("demo",), widths: Widths | None = None, max_tokens: int = 80
) -> Path:
    """filters/ with releases.json; every filter reads the state of trunks/tiny/v1."""
    widths = widths or Widths()
    trunk = write_trunk(filters, max_tokens=max_tokens)
    for seed, name in enumerate(names):
        write_filter(filters, name, trunk, widths, seed)
    write_commerce(filters, widths)
    activation = {"filters": dict.fromkeys(names, "v1"), "commerce": "v2"}
    (filters / "releases.json").write_bytes(orjson.dumps(activation))
    return filters


def write_trunk(filters: Path, version: str = "v1", config: dict = GEMMA, max_tokens: int = 80) -> TrunkRef:
    folder = filters / "trunks" / "tiny" / version
    write_adapter(folder / "adapter", config)
    manifest = Manifest(name="tiny", version=version, files={}, base_model=_base(), max_tokens=max_tokens)
    return TrunkRef(name="tiny", version=version, sha256=write_manifest(folder, manifest))


def write_filter(filters: Path, name: str, trunk: TrunkRef | None, widths: Widths, seed: int = 0) -> Path:
    """A package with head and probe; without a trunk its head reads the embedding alone."""
    folder = write_package(filters, name)
    state = widths.state if trunk else 0
    random_head(state + widths.embedding, DIMENSIONS, seed).save(folder / "head.safetensors")
    random_head(widths.embedding, DIMENSIONS + 1, seed).save(folder / "probe.safetensors")
    resign(folder, trunk=trunk, encoder=_encoder())
    return folder


def write_own_adapter(folder: Path, suffix: str = ".default.weight") -> None:
    """Turn a filter into one from the Hub: a PEFT adapter with its score layer, no head, no trunk."""
    (folder / "head.safetensors").unlink()
    write_adapter(folder / "adapter", suffix=suffix, outputs=DIMENSIONS)
    resign(folder, trunk=None, base_model=_base(), max_tokens=64)


def write_commerce(filters: Path, widths: Widths, rejected_at: float = 0.9999) -> Path:
    """The embedding decides alone."""
    folder = filters / "commerce" / "v2"
    folder.mkdir(parents=True)
    random_head(widths.embedding, 1, seed=99).save(folder / "head.safetensors")
    (folder / "thresholds.json").write_text(json.dumps({"rejected_at": rejected_at}))
    write_manifest(folder, Manifest(name="commerce", version="v2", files={}, encoder=_encoder()))
    return folder


def make_commerce_doubt(folder: Path, widths: Widths, trunk: TrunkRef | None, confirmed_at: float) -> None:
    """Every text is read before it counts as commerce."""
    random_head(widths.state + widths.embedding, 1, seed=98).save(folder / "reading.safetensors")
    thresholds = {"rejected_at": 1.1, "doubted_at": 1e-4, "confirmed_at": confirmed_at}
    (folder / "thresholds.json").write_text(json.dumps(thresholds))
    resign(folder, trunk=trunk)


def resign(folder: Path, **changes: object) -> None:
    """Write the manifest again for changed files."""
    manifest, _ = load_manifest_unchecked(folder)
    write_manifest(folder, manifest.model_copy(update=changes))


def load_manifest_unchecked(folder: Path) -> tuple[Manifest, str]:
    content = orjson.loads((folder / "manifest.json").read_bytes()) | {"files": {}}
    (folder / "manifest.json").write_bytes(orjson.dumps(content))
    return load_manifest(folder)


def random_head(inputs: int, outputs: int, seed: int) -> Perceptron:
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    return Perceptron(
        center=draw(inputs, scale=0.1),
        scale=np.ones(inputs, dtype=np.float32),
        skip=draw(outputs, inputs, scale=inputs**-0.5),
        bias=draw(outputs, scale=1.0) + 4,
        hidden=draw(8, inputs, scale=inputs**-0.5),
        hidden_bias=draw(8, scale=0.1),
        out=draw(outputs, 8, scale=0.5),
    )


def tiny_settings(root: Path, names: Sequence[str] = ("demo",), engine: str = "openvino") -> Settings:
    """Settings of a tiny home and a release set in it."""
    filters = write_release(root / "filters", names)
    return load_settings(home=tiny_home(root / "home"), filters=(filters,), engine=engine)


def _base() -> BaseModelRef:
    return BaseModelRef(id=BASE_ID, revision="tiny")


def _encoder() -> EncoderRef:
    return EncoderRef(id=ENCODER_ID, revision="tiny", max_tokens=64)
