"""Gemma's tokenizer out of GGUF metadata: BPE with byte fallback, merges rebuilt from the piece scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_CONTROL, _USER_DEFINED = 3, 4
"""Token types of GGUF that are matched before BPE runs."""

Merge = tuple[str, str]


def write_tokenizer(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces: list[str] = fields["tokenizer.ggml.tokens"]
    scores: list[float] = fields["tokenizer.ggml.scores"]
    types: list[int] = fields["tokenizer.ggml.token_type"]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocab, merges=merges(pieces, scores, vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", vocab["<bos>"])]
    )
    added = [(piece, kind) for piece, kind in zip(pieces, types, strict=True) if kind in (_CONTROL, _USER_DEFINED)]
    tokenizer.add_special_tokens([AddedToken(p, special=True, normalized=False) for p, k in added if k == _CONTROL])
    tokenizer.add_tokens([AddedToken(p, special=False, normalized=False) for p, k in added if k == _USER_DEFINED])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "unk", "pad", "mask")}
    config = {"tokenizer_class": "GemmaTokenizer", "padding_side": "right", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def merges(pieces: Sequence[str], scores: Sequence[float], vocab: Mapping[str, int]) -> list[Merge]:
    """Every way to join two pieces into a third, best score first (transformers' generate_merges)."""
    found: list[tuple[float, int, int, Merge]] = []
    for piece, score in zip(pieces, scores, strict=True):
        splits = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        known = [pair for pair in splits if pair[0] in vocab and pair[1] in vocab]
        known.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        found += [(score, len(pair[0]), len(pair[1]), pair) for pair in known]
    found.sort(key=lambda item: item[:3], reverse=True)
    return [pair for *_, pair in found]
