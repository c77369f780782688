"""Weights from the Hugging Face Hub by model id."""

from pathlib import Path

from models.weights.cache import Stage, WeightsError

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]


def fetch_from_hub(model_id: str, folder: Path, report: Stage) -> None:
    """Download one model's files into `folder`. The Hub's client reads its token from HF_TOKEN."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    report(f"{model_id}: downloading from the Hub", 0.0)
    try:
        snapshot_download(model_id, local_dir=folder, allow_patterns=_FILES)
    except GatedRepoError as error:
        raise WeightsError(
            f"{model_id} asks for its licence to be accepted.",
            action=f"Accept it on the model's page and set HF_TOKEN, or unset the setting that names {model_id}.",
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"{model_id} is not on the Hub.", action="Check the model id in the settings.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"{model_id} could not be downloaded: {error}.",
            action="Check the network, or unset the model in the settings to use the packaged weights.",
        ) from error
    if not (folder / "model.safetensors").is_file():
        raise WeightsError(
            f"{model_id} has no model.safetensors in one file.", action="Name a model with unsharded safetensors."
        )
    report(f"{model_id}: ready", 1.0)
