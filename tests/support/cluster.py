"""The processes of docker-compose.yml without Docker: PostgreSQL, a Ray cluster of two nodes that
train, API and worker; they meet at addresses, tokens and one directory for checkpoints."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import postgres
from tests.support.processes import Process, Processes, until
from tests.support.service import START_S, TUNERL, Api

RAY = str(Path(sys.executable).parent / "ray")
OWN_PORTS = ("--min-worker-port=0", "--max-worker-port=0")  # several clusters on one machine
LEASE_S = 3


@dataclass
class Cluster:
    """A running installation. `ray`: address of the cluster; `secret`: its token."""

    processes: Processes
    root: Path
    ray: str
    secret: str
    store_url: str
    token: str
    api: Api
    nodes: list[Process] = field(default_factory=list)
    _made: int = 0

    def node(self) -> Process:
        """One more machine that trains, with one CPU; noted in `nodes`."""
        self._made += 1
        node = start_node(self.processes, self.ray, self._made)
        self.nodes.append(node)
        return node

    def worker(self, **env: str) -> Process:
        return self.processes.start(
            "worker", *TUNERL, "worker", **{**self.shared, "RAY_ADDRESS": self.ray, **env}
        )

    @property
    def shared(self) -> dict[str, str]:
        return shared(self.root, self.store_url)


def shared(root: Path, store_url: str) -> dict[str, str]:
    """What docker-compose.yml gives to API and worker alike."""
    return {
        "TUNERL_HOME": str(root / "home"),
        "TUNERL_STORE_URL": store_url,
        "TUNERL_STORAGE": str(root / "checkpoints"),
        "TUNERL_LEASE_SECONDS": str(LEASE_S),
    }


def start_node(processes: Processes, address: str, number: int) -> Process:
    """A node of one CPU, up. One at a time: raylets of one machine stumble over each other."""
    command = (RAY, "start", "--block", f"--address={address}", "--num-cpus=1", *OWN_PORTS)
    node = processes.start(f"ray-worker-{number}", *command)
    await_ray(node, processes)
    return node


def await_ray(node: Process, processes: Processes) -> None:
    def up() -> bool:
        assert node.returncode is None, processes.logs()
        return "Ray runtime started" in node.log.read_text()

    until(up, f"{node.log.stem} of Ray", START_S)


def free_port() -> int:
    """A port below those that Ray gives to its workers (10002 and up); each process that asks
    begins to look elsewhere."""
    for port in range(6400 + os.getpid() % 3000, 10000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")


def install(root: Path) -> str:
    """A package that somebody installed beside TuneRL, with a trainable for REST; its place.

    "Deadly" ends its process in the second iteration where ``config["deadly"]`` says so.
    """
    info = root / "deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunerl.trainables]\nDeadly = deadly:Deadly\n")
    (root / "deadly.py").write_text(DEADLY)
    return str(root)


DEADLY = """
import os
from tunerl import Trainable

class Deadly(Trainable):
    def setup(self, config):
        self.count = 0

    def step(self):
        self.count += 1
        if self.count == 2 and self.config["deadly"]:
            os._exit(1)
        return {"count": self.count}

    def save_checkpoint(self, checkpoint_dir):
        return {"count": self.count}

    def load_checkpoint(self, checkpoint):
        self.count = checkpoint["count"]
"""


def environment(secret: str, packages: str = "") -> dict[str, str]:
    """What the processes of a Ray cluster with that token see of this one's, and `packages`."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), packages]))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PYTHONPATH": path,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secret,
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The whole installation but the worker, up; it is taken down at the end."""
    root = Path(tempfile.mkdtemp(prefix="tunerl-"))  # short: Ray's sockets lie below it
    secret = secrets.token_hex(32)
    env = environment(secret, install(root / "packages"))
    try:
        with postgres.server() as server, Processes(root, env) as processes:
            address = f"127.0.0.1:{free_port()}"
            start_head(processes, address, root)
            url = postgres.create_database(server.url, "tunerl").replace(":", "+psycopg:", 1)
            token = secrets.token_hex(16)
            api = Api(processes, token, TUNERL_HOST="0.0.0.0", **shared(root, url))
            house = Cluster(processes, root, address, secret, url, token, api)
            house.node()
            house.node()
            yield house
    finally:
        shutil.rmtree(root, ignore_errors=True)


def start_head(processes: Processes, address: str, root: Path) -> None:
    """The head as in docker-compose.yml, up by the health check that is used there."""
    command = (RAY, "start", "--head", "--block", f"--port={address.rpartition(':')[2]}")
    head = processes.start(
        "ray-head", *command, "--num-cpus=0", "--include-dashboard=false", *OWN_PORTS,
        f"--temp-dir={root / 'ray'}",
    )  # fmt: skip

    await_ray(head, processes)
    check = processes.start("health", RAY, "health-check", f"--address={address}")
    until(lambda: check.returncode is not None, "ray health-check", START_S)
    assert check.returncode == 0, processes.logs()
