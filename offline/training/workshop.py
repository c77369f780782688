"""Base models, engines and caches that every training run shares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.article import Article
from core.package import BaseModelRef, EncoderRef
from core.settings import Settings
from models.engines.bert import BertWeights
from models.engines.gemma import GemmaWeights
from models.engines.select import encoder_engine, scorer_engine
from models.text_engine import load_encoder, load_trunk
from models.weights import WeightsFolder, base_model, encoder_model
from offline.dataset import Array
from offline.training.features import FeatureCache, Report

ENCODER_PREFIX, ENCODER_TOKENS = "query: ", 512


@dataclass(frozen=True)
class TrunkFolder:
    """A released trunk: its folder and the sha256 of its manifest."""

    folder: Path
    sha256: str
    max_tokens: int


@dataclass(frozen=True)
class Workshop:
    """Features come from the engines that serve the stream, so heads learn on what they will read.

    cache: embeddings, trunk states and checkpoints.
    """

    settings: Settings
    cache: Path
    report: Report

    @cached_property
    def base(self) -> WeightsFolder:
        return base_model(self.settings)

    @cached_property
    def encoder(self) -> WeightsFolder:
        return encoder_model(self.settings)

    @property
    def base_ref(self) -> BaseModelRef:
        return BaseModelRef(id=self.base.model_id, revision=self.base.revision)

    @property
    def encoder_ref(self) -> EncoderRef:
        return EncoderRef(
            id=self.encoder.model_id,
            revision=self.encoder.revision,
            prefix=ENCODER_PREFIX,
            max_tokens=ENCODER_TOKENS,
        )

    def embed(self, articles: Sequence[Article]) -> Array:
        """[n, width] unit vectors, cached."""
        key = f"embeddings-{self.encoder.revision[:12]}"
        return FeatureCache(self.cache, key, lambda texts: self._encode(texts)).vectors(articles, self.report)

    def trunk_states(self, trunk: TrunkFolder, articles: Sequence[Article]) -> Array:
        """[n, hidden] states of the released trunk, cached."""
        key = f"states-{trunk.sha256[:12]}"
        reader = self._state_reader(trunk)
        return FeatureCache(self.cache, key, reader).vectors(articles, self.report)

    @cached_property
    def _encode(self) -> Callable[[Sequence[str]], Array]:
        engine = encoder_engine(self.settings.engine, BertWeights(self.encoder.path), self._graphs)
        return load_encoder(engine, self.encoder.path, self.encoder_ref).encode

    def _state_reader(self, trunk: TrunkFolder) -> Callable[[Sequence[str]], Array]:
        loaded: list[Callable[[Sequence[str]], Array]] = []

        def read(texts: Sequence[str]) -> Array:
            if not loaded:  # only now: with every state cached, the model need not be loaded at all
                gemma = GemmaWeights(self.base.path, trunk.folder / "adapter")
                engine = scorer_engine(self.settings.engine, gemma, trunk.max_tokens, self._graphs)
                loaded.append(load_trunk(engine, self.base.path, trunk.max_tokens).encode)
            return loaded[0](texts)

        return read

    @property
    def _graphs(self) -> Path:
        return self.settings.home / "graphs"
