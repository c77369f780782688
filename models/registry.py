"""A release set made runnable: verified packages, their trunks, heads and probes, as one cascade."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.cascade import Cascade, Models
from core.commerce import COMMERCE
from core.errors import PackageError
from core.inventory import TRUNKS
from core.package import BaseModelRef, EncoderRef, FilterPackage, Manifest, TrunkRef, load_manifest, load_package
from core.releases import Activation, ReleaseSet, find_package, load_activation
from core.settings import Settings
from models.commerce import CommercePackage, load_commerce
from models.engines.bert import BertWeights
from models.engines.gemma import GemmaWeights
from models.engines.select import encoder_engine, scorer_engine
from models.heads import HeadProbes, Perceptron, load_head
from models.lora import load_lora
from models.scorer import FilterHead, HeadScorer
from models.tensor_file import TensorFileError
from models.text_engine import TextEngine, load_encoder, load_trunk
from models.weights import WeightsFolder, base_model, encoder_model

log = logging.getLogger(__name__)
_DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True)
class LoadedRelease:
    """`faults`: packages that were left out, by filter name, each with an error that names the file."""

    cascade: Cascade
    faults: Mapping[str, PackageError]


@dataclass(frozen=True)
class _Filter:
    package: FilterPackage
    probe: Perceptron
    head: FilterHead


def load_cascade(settings: Settings, activation: Activation | None = None, *, gates: bool = True) -> Cascade:
    """One release set for one run; packages that cannot be used are logged and left out."""
    return ReleaseLoader(settings).load(activation, gates=gates).cascade


class ReleaseLoader:
    """Loads release sets one after another. What the next one has in common with the last (encoder, trunks by the
    hash of their manifest) is kept, so that a new head is there in milliseconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._encoders: dict[EncoderRef, TextEngine] = {}
        self._trunks: dict[str, TextEngine] = {}

    def load(self, activation: Activation | None = None, *, gates: bool = True) -> LoadedRelease:
        """The active versions of `activation`, or those of releases.json.

        Raises:
            PackageError: the commerce head cannot be used, or no filter can.
        """
        active = activation or load_activation(self._settings.filters)
        folder = find_package(self._settings.filters, COMMERCE, active.commerce)
        commerce = load_commerce(folder)
        encoder = self._encoder(commerce.encoder)
        versions = {COMMERCE: (active.commerce, commerce.manifest_sha256)}
        filters: dict[str, _Filter] = {}
        faults: dict[str, PackageError] = {}
        for name, version in sorted(active.filters.items()):
            try:
                filters[name] = self._filter(name, version, commerce, encoder, versions)
            except (PackageError, TensorFileError) as error:
                faults[name] = (
                    error if isinstance(error, PackageError) else PackageError(error.message, action=error.action)
                )
                log.warning("filter %s/%s is left out: %s", name, version, error)
        if not filters:
            raise next(iter(faults.values()), PackageError("No filter is active.", action="Run `stillhouse release`."))
        heads = {name: f.head for name, f in filters.items()} | self._reading(commerce, encoder, versions)
        used = {head.trunk for head in heads.values() if head.trunk}
        self._trunks = {key: trunk for key, trunk in self._trunks.items() if key in used}
        scorer = HeadScorer(self._trunks, heads)
        probes = HeadProbes(commerce.head, {name: f.probe for name, f in filters.items()})
        cascade = Cascade(
            ReleaseSet(versions),
            {name: f.package for name, f in filters.items()},
            Models(encoder, probes, scorer, commerce.thresholds, scorer.engine_name),
            gates,
        )
        return LoadedRelease(cascade, faults)

    def _filter(
        self,
        name: str,
        version: str,
        commerce: CommercePackage,
        encoder: TextEngine,
        versions: dict[str, tuple[str, str]],
    ) -> _Filter:
        package = load_package(find_package(self._settings.filters, name, version))
        if package.manifest.encoder not in (None, commerce.encoder):
            raise PackageError(
                f"{package.folder / 'manifest.json'}: trained on encoder {package.manifest.encoder}, "
                f"the commerce head on {commerce.encoder}.",
                action="Release both on one encoder: an article is embedded once.",
            )
        dimensions = len(package.spec.dimensions)
        probe = load_head(package.folder / "probe.safetensors", encoder.width, dimensions + 1)
        own = package.has_own_adapter
        key, members = self._own_trunk(package) if own else self._trunk(package.folder, package.manifest.trunk)
        width = self._trunks[key].width if key else 0
        head = _head(package, width, encoder.width)
        versions |= {name: (version, package.manifest_sha256), **members}
        return _Filter(package, probe, FilterHead(key, head))

    def _encoder(self, ref: EncoderRef) -> TextEngine:
        if ref not in self._encoders:
            weights = encoder_model(self._settings)
            _must_match(weights, ref)
            engine = encoder_engine(self._settings.engine, BertWeights(weights.path), self._graphs)
            self._encoders = {ref: load_encoder(engine, weights.path, ref)}
        return self._encoders[ref]

    def _reading(
        self, commerce: CommercePackage, encoder: TextEngine, versions: dict[str, tuple[str, str]]
    ) -> dict[str, FilterHead]:
        """The scorer's commerce head, if the package has one."""
        key, members = self._trunk(commerce.folder, commerce.trunk)
        if key is None:
            return {}
        versions |= members
        return {COMMERCE: FilterHead(key, commerce.reading_head(self._trunks[key].width + encoder.width))}

    def _own_trunk(self, package: FilterPackage) -> tuple[str, dict[str, tuple[str, str]]]:
        key = package.manifest_sha256
        if key not in self._trunks:
            log.info("%s has an adapter of its own: it costs a pass of its own", package.spec.name)
            self._trunks[key] = self._load_trunk(package.folder, package.manifest)
        return key, {}

    def _trunk(self, package: Path, ref: TrunkRef | None) -> tuple[str | None, dict[str, tuple[str, str]]]:
        """Key of the trunk that the heads in this folder read, and the trunk's entry in the release set."""
        if ref is None:
            return None, {}
        folder, manifest = _find_trunk(self._settings, package, ref)
        if ref.sha256 not in self._trunks:
            self._trunks[ref.sha256] = self._load_trunk(folder, manifest)
        return ref.sha256, {f"{TRUNKS}/{manifest.name.removeprefix(f'{TRUNKS}/')}": (ref.version, ref.sha256)}

    def _load_trunk(self, folder: Path, manifest: Manifest) -> TextEngine:
        weights = base_model(self._settings)
        _must_match(weights, manifest.base_model)
        max_tokens = manifest.max_tokens or _DEFAULT_MAX_TOKENS
        gemma = GemmaWeights(weights.path, folder / "adapter")
        return load_trunk(
            scorer_engine(self._settings.engine, gemma, max_tokens, self._graphs), weights.path, max_tokens
        )

    @property
    def _graphs(self) -> Path:
        return self._settings.home / "graphs"


def _find_trunk(settings: Settings, package: Path, ref: TrunkRef) -> tuple[Path, Manifest]:
    name = f"{TRUNKS}/{ref.name.removeprefix(f'{TRUNKS}/')}"
    folder = find_package(settings.filters, name, ref.version)
    manifest, digest = load_manifest(folder)
    if digest != ref.sha256:
        raise PackageError(
            f"{package / 'manifest.json'}: trained on another build of {name}/{ref.version} than {folder}.",
            action="Restore the trunk from the same release as the filter.",
        )
    return folder, manifest


def _head(package: FilterPackage, state_width: int, embedding_width: int) -> Perceptron:
    """The package's head; a plain PEFT adapter from the Hub brings its score layer instead."""
    path, dimensions = package.folder / "head.safetensors", len(package.spec.dimensions)
    if path.is_file() or not package.has_own_adapter:
        return load_head(path, state_width + embedding_width, dimensions)
    score = load_lora(package.folder / "adapter").score
    if score is None or score.shape != (dimensions, state_width):
        raise PackageError(
            f"{path}: missing, and the adapter brings no score layer of {dimensions} x {state_width}.",
            action="Add head.safetensors, or an adapter that was saved with its score layer.",
        )
    return _linear_on_state(score, embedding_width)


def _must_match(weights: WeightsFolder, ref: BaseModelRef | None) -> None:
    if ref is not None and ref.id != weights.model_id:
        kind = "ENCODER" if isinstance(ref, EncoderRef) else "BASE"
        raise PackageError(
            f"The package was trained on {ref.id}, the weights in use are {weights.model_id}.",
            action=f"Set STILLHOUSE_{kind}_MODEL={ref.id}.",
        )
    if ref is not None and ref.revision != weights.revision:
        log.warning("%s has other weights than the package was trained on: scores will differ", weights.model_id)


def _linear_on_state(score: NDArray[np.float32], embedding_width: int) -> Perceptron:
    """score [dimensions, state] as a head that does not look at the embedding."""
    outputs, width = len(score), score.shape[1] + embedding_width
    skip = np.concatenate([score, np.zeros((outputs, embedding_width), dtype=np.float32)], axis=1)
    nothing = np.zeros((0, width), dtype=np.float32)
    return Perceptron(
        center=np.zeros(width, dtype=np.float32),
        scale=np.ones(width, dtype=np.float32),
        skip=skip,
        bias=np.zeros(outputs, dtype=np.float32),
        hidden=nothing,
        hidden_bias=np.zeros(0, dtype=np.float32),
        out=np.zeros((outputs, 0), dtype=np.float32),
    )
