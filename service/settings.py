"""What the environment (``TUNERL_*``) says about a service; one object, read once by each process.

Invariant: an API that other machines can reach has a token.
"""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunerl.errors import InvalidInput, Problem, nearest

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Settings(BaseSettings):
    """Every field is an environment variable: ``TUNERL_HOME``, ``TUNERL_PORT``, ..."""

    model_config = SettingsConfigDict(env_prefix="TUNERL_", extra="ignore", frozen=True)

    home: Path = Path("~/.tunerl")
    store_url: str | None = None
    storage: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(8700, ge=0, le=65535)
    api_token: SecretStr | None = None
    runtime: Literal["ray", "local"] = "ray"
    local_slots: int = Field(4, ge=1)  # packs that the local runtime holds open
    max_body_bytes: int = Field(1 << 20, ge=1)
    poll_seconds: float = Field(0.25, gt=0)
    lease_seconds: float = Field(30.0, gt=0)
    nodes_patience_seconds: float = Field(300.0, ge=0)  # for nodes of a cluster of others

    @cached_property
    def root(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def url(self) -> str:
        """The store: ``TUNERL_STORE_URL``, else a SQLite file in the home directory."""
        return self.store_url or f"sqlite:///{self.root / 'tunerl.db'}"

    @property
    def checkpoints(self) -> str:
        """Where checkpoints go unless an experiment says otherwise: a path or an fsspec URL."""
        return self.storage or str(self.root / "checkpoints")

    @property
    def token(self) -> str | None:
        return (self.api_token.get_secret_value() or None) if self.api_token else None

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    def require_token(self) -> None:
        """Raise `InvalidInput` where the API would be open to the network without a token."""
        if not self.loopback and self.token is None:
            raise InvalidInput(
                f"the API would listen on {self.host}, where other machines reach it, and no token "
                "is set; set TUNERL_API_TOKEN to a long random string, or keep TUNERL_HOST at "
                "127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` (None: not given) win.

    Raises `InvalidInput`, each problem under the name of its variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        raise InvalidInput(
            f"no setting {unknown[0]!r}; {nearest(unknown[0], Settings.model_fields)}"
        )
    try:
        return Settings.model_validate({**Settings().model_dump(), **given})
    except ValidationError as error:
        raise InvalidInput(
            [
                Problem("TUNERL_" + ".".join(map(str, each["loc"])).upper(), each["msg"])
                for each in error.errors()
            ]
        ) from None
