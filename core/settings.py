"""Settings: environment STILLHOUSE_*, then a TOML file, then defaults."""

from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import SettingsError

CONFIG_FILE = "stillhouse.toml"
PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 19092


class Settings(BaseSettings):
    """Every key can be set as STILLHOUSE_<KEY> or in stillhouse.toml."""

    model_config = SettingsConfigDict(env_prefix="STILLHOUSE_", extra="forbid", toml_file=CONFIG_FILE, frozen=True)

    kafka: str | None = Field(None, description="host:port of Apache Kafka; unset: the embedded broker")
    port: int = Field(DEFAULT_PORT, ge=1, le=65535, description="port of the embedded broker on 127.0.0.1")
    home: Path = Field(Path(platformdirs.user_data_dir("stillhouse")), description="weights, compiled graphs and state")
    labels: str | None = Field(None, description="label store: folder or object storage URL; unset: HOME/labels")
    filters: Annotated[tuple[Path, ...], NoDecode] = Field(
        (PROJECT / "filters",), description="folders of filter packages, parted by colons; later wins"
    )

    session_timeout_sec: float = Field(10.0, ge=1, le=300, description="a silent worker is replaced after this time")
    group_prefix: str = Field("stillhouse", description="prefix of the consumer groups")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_oauth_hook: str | None = Field(None, description="package.module:callable that makes the token provider")
    ssl_ca: Path | None = None
    ssl_cert: Path | None = None
    ssl_key: Path | None = None

    base_model: str | None = Field(None, description="hub id of the scorer's base model; unset: the packaged weights")
    encoder_model: str | None = Field(None, description="hub id of the encoder; unset: the packaged weights")
    engine: Literal["auto", "openvino", "torch", "cuda"] = "auto"
    batch: int = Field(64, ge=1, le=4096, description="records per batch and stage")

    oracle: Literal["gemini", "openai", "replay"] = "gemini"
    oracle_model: str = "gemini-2.5-flash"
    oracle_base_url: str | None = None
    oracle_api_key: SecretStr | None = None
    oracle_replay: Path | None = Field(None, description="labelled JSONL file of the replay oracle")
    oracle_daily_usd: float = Field(5.0, ge=0, description="money budget per day (UTC)")
    oracle_daily_calls: int = Field(5_000, ge=0, description="budget of calls per day (UTC)")
    oracle_concurrency: int = Field(8, ge=1, le=256)
    oracle_temperature: float = Field(0.0, ge=0, le=2)
    oracle_thinking_tokens: int = Field(0, ge=-1, description="Gemini's thinking budget; 0: off, -1: the model decides")
    oracle_timeout_sec: float = Field(60.0, gt=0, description="deadline of one call to the oracle")
    oracle_input_usd_per_mtok: float | None = Field(None, ge=0, description="price; unset: known for common models")
    oracle_output_usd_per_mtok: float | None = Field(None, ge=0, description="price; unset: known for common models")

    board_host: str = "127.0.0.1"
    board_port: int = Field(8600, ge=0, le=65535)
    board_history: int = Field(100_000, ge=1_000, description="articles that the board keeps")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus endpoint; 0: off")
    otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector; unset: tracing is off")
    feeds_allow_private: bool = Field(False, description="feeds may reach private addresses")
    log_json: bool = False

    @field_validator("filters", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return tuple(value.split(":")) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def bootstrap(self) -> str:
        """Address that clients connect to: the named Kafka, else the embedded broker."""
        return self.kafka or f"127.0.0.1:{self.port}"

    @property
    def embedded(self) -> bool:
        return self.kafka is None

    @property
    def label_store(self) -> str:
        return self.labels or str(self.home / "labels")

    @property
    def state(self) -> Path:
        return self.home / "state"


def load_settings(**overrides: Any) -> Settings:
    """Read and validate the settings; the error names each faulty key."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"STILLHOUSE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"Settings are not valid: {faults}.", action="See `stillhouse config`.") from None
