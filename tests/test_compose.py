"""docker-compose.yml: services, health checks, start order, secrets, environment variables."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(set(SERVICES) - {"postgres"})
# Read by others than our settings: the postgres image and libpq; Ray.
POSTGRES = {"PGPASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
RAY = {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
REQUIRED = re.compile(r"^\$\{(\w+):\?set \1\}$")


def variables(service: str) -> dict[str, str]:
    return dict(SERVICES[service].get("environment", {}))


def test_the_five_kinds_of_process_are_there() -> None:
    assert set(SERVICES) == {"postgres", "ray-head", "ray-worker", "api", "worker"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_a_health_check(service: str) -> None:
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize(
    ("service", "needs"),
    [
        ("ray-worker", {"ray-head"}),
        ("api", {"postgres"}),
        ("worker", {"api", "ray-head", "ray-worker"}),
    ],
)
def test_a_service_starts_when_what_it_needs_is_healthy(service: str, needs: set[str]) -> None:
    depends = SERVICES[service]["depends_on"]
    assert set(depends) == needs
    assert {entry["condition"] for entry in depends.values()} == {"service_healthy"}


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("postgres", "POSTGRES_PASSWORD"),
        ("api", "PGPASSWORD"),
        ("worker", "PGPASSWORD"),
        ("api", "TUNERL_API_TOKEN"),
        ("ray-head", "RAY_AUTH_TOKEN"),
        ("ray-worker", "RAY_AUTH_TOKEN"),
        ("worker", "RAY_AUTH_TOKEN"),
    ],
)
def test_a_missing_secret_fails_loudly(service: str, variable: str) -> None:
    assert REQUIRED.match(variables(service)[variable])


def test_no_secret_has_a_value_in_the_file() -> None:
    for service in SERVICES:
        for name, value in variables(service).items():
            if re.search("PASSWORD|TOKEN|SECRET", name):
                assert REQUIRED.match(value), f"{service}: {name}"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_variable_is_one_that_someone_reads(service: str) -> None:
    known = {"TUNERL_" + name.upper() for name in Settings.model_fields} | POSTGRES | RAY
    assert set(variables(service)) <= known


def test_the_api_beyond_loopback_has_the_token_that_settings_demand() -> None:
    api = variables("api")
    settings = Settings.model_validate(
        {"host": api["TUNERL_HOST"], "port": api["TUNERL_PORT"], "api_token": "given"}
    )
    assert not settings.loopback
    settings.require_token()
    inside = SERVICES["api"]["ports"][0].rsplit(":", 1)[1]
    assert inside == api["TUNERL_PORT"]
    assert f":{api['TUNERL_PORT']}/readyz" in SERVICES["api"]["healthcheck"]["test"][-1]


def test_api_and_worker_share_store_and_checkpoints() -> None:
    for name in ("TUNERL_STORE_URL", "TUNERL_STORAGE", "PGPASSWORD"):
        assert variables("api")[name] == variables("worker")[name]
    storage = variables("api")["TUNERL_STORAGE"]
    for service in OURS:
        volume, mount = SERVICES[service]["volumes"][0].split(":")
        assert volume in COMPOSE["volumes"]
        assert storage.startswith(mount + "/")


def test_the_ray_worker_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["ray-worker"])


@pytest.mark.parametrize("service", ["ray-worker", "worker"])
def test_a_node_is_healthy_only_with_its_own_raylet(service: str, tmp_path: Path) -> None:
    *shell, script = SERVICES[service]["healthcheck"]["test"]
    assert shell == ["CMD", "bash", "-c"]
    raylet, head = script.split(" && ")
    assert head == "ray health-check --address=ray-head:6379"
    looks = raylet.replace("/proc/[0-9]*/cmdline", str(tmp_path / "*"))
    for command, code in (("ray start --block", 1), ("/x/core/src/ray/raylet/raylet --y", 0)):
        (tmp_path / "1").write_text(command)
        assert subprocess.run([*shell[1:], looks]).returncode == code


def test_deployment_md_names_every_setting() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `TUNERL_")}
    assert rows == {"TUNERL_" + name.upper() for name in Settings.model_fields} | {"TUNERL_URL"}


def test_the_ray_cluster_demands_its_token() -> None:
    for service in ("ray-head", "ray-worker", "worker"):
        assert variables(service)["RAY_AUTH_MODE"] == "token"


def test_only_the_api_is_published_and_on_loopback_unless_told() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["api"]
    assert "127.0.0.1:" in SERVICES["api"]["ports"][0]


def test_the_image_runs_without_root_from_pinned_packages() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["tunerl"]
    assert lines.index("USER tunerl") < lines.index('CMD ["tunerl", "--help"]')
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)


def test_what_the_dockerfile_copies_passes_the_dockerignore() -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert f"!{name}" in allowed or f"!{name}/**" in allowed, name
