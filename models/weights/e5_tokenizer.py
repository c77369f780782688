"""XLM-RoBERTa's tokenizer out of its pieces: a unigram model behind sentencepiece's nmt_nfkc normaliser."""

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

MAX_TOKENS = 512


@dataclass(frozen=True)
class Vocabulary:
    """Pieces with their scores, and the ids of three special ones."""

    pieces: list[str]
    scores: list[float]
    bos: int
    eos: int
    unk: int


def write_tokenizer(folder: Path, vocabulary: Vocabulary) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    scored = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=vocabulary.unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(_normaliser_table()), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", vocabulary.bos), ("</s>", vocabulary.eos)],
    )
    special = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens([*special, AddedToken("<mask>", special=True, lstrip=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_TOKENS,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _normaliser_table() -> bytes:
    """sentencepiece's nmt_nfkc table. It is only written into models, so a throwaway model is trained for it."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as messages

    rng = random.Random(0)
    lines = [" ".join("".join(rng.choices("abcdefghij", k=5)) for _ in range(12)) for _ in range(400)]
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=buffer,
        vocab_size=60,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = messages.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(buffer.getvalue())
    table: bytes = model.normalizer_spec.precompiled_charsmap
    return table
