"""Small Gemma and BERT folders with random weights in transformers' layout, and LoRA adapters for them."""

import json
from pathlib import Path

import numpy as np

from models.tensor_file import to_bf16, write_tensors

GEMMA = {
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512,
    "sliding_window": 24,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_theta": 1e6, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
    },
    "attention_bias": False,
    "tie_word_embeddings": True,
    "use_bidirectional_attention": False,
    "vocab_size": 300,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def projections(config: dict) -> dict[str, tuple[int, int]]:
    """[out, in] of a Gemma layer's projections."""
    hidden, inner, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    query, key = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    return {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def write_gemma(folder: Path, seed: int = 0, **changes: object) -> Path:
    """Base weights in bf16. `changes` override GEMMA."""
    config, rng = {**GEMMA, **changes}, np.random.default_rng(seed)
    hidden = config["hidden_size"]

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return to_bf16(rng.normal(0, scale, shape).astype(np.float32))

    tensors = {
        "model.embed_tokens.weight": draw(config["vocab_size"], hidden),
        "model.norm.weight": draw(hidden, scale=0.1),
    }
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        for module, shape in projections(config).items():
            tensors[f"{name}.{module}.weight"] = draw(*shape, scale=shape[1] ** -0.5)
        for norm in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                     "post_feedforward_layernorm"):  # fmt: skip
            tensors[f"{name}.{norm}.weight"] = draw(hidden, scale=0.1)
        for norm in ("self_attn.q_norm", "self_attn.k_norm"):
            tensors[f"{name}.{norm}.weight"] = draw(config["head_dim"], scale=0.1)
    return _write(folder, config, tensors)


def write_bert(folder: Path, seed: int = 0) -> Path:
    rng, hidden, inner = np.random.default_rng(seed), BERT["hidden_size"], BERT["intermediate_size"]

    def draw(*shape: int, scale: float = 0.2, mean: float = 0.0) -> np.ndarray:
        return rng.normal(mean, scale, shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(BERT["vocab_size"], hidden, scale=1.0),
        "embeddings.position_embeddings.weight": draw(BERT["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": draw(2, hidden),
        "embeddings.LayerNorm.weight": draw(hidden, mean=1.0),
        "embeddings.LayerNorm.bias": draw(hidden),
    }
    for layer in range(BERT["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        shapes = {
            **{f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")},
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for module, shape in shapes.items():
            tensors[f"{name}.{module}.weight"] = draw(*shape, scale=shape[1] ** -0.5)
            tensors[f"{name}.{module}.bias"] = draw(shape[0])
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"{name}.{norm}.weight"] = draw(hidden, mean=1.0)
            tensors[f"{name}.{norm}.bias"] = draw(hidden)
    return _write(folder, BERT, tensors)


def write_adapter(
    folder: Path, config: dict = GEMMA, seed: int = 1, rank: int = 4, suffix: str = ".weight", outputs: int = 0
) -> Path:
    """PEFT LoRA on every projection. `suffix` is `.default.weight` in newer files; `outputs` > 0 adds a score layer."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for module, (out, width) in projections(config).items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A{suffix}"] = to_bf16(rng.normal(0, 0.3, (rank, width)).astype(np.float32))
            tensors[f"{name}.lora_B{suffix}"] = to_bf16(rng.normal(0, 0.1, (out, rank)).astype(np.float32))
    if outputs:
        score = rng.normal(0, 0.1, (outputs, config["hidden_size"])).astype(np.float32)
        tensors["base_model.model.score.weight"] = score
    folder.mkdir(parents=True)
    write_tensors(folder / "adapter_model.safetensors", tensors)
    peft = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.split(".")[-1] for name in projections(config)}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(peft))
    return folder


def _write(folder: Path, config: dict, tensors: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_tensors(folder / "model.safetensors", tensors)
    return folder
