"""The commands that talk to a service."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunerl.errors import InvalidInput, InvalidSpec

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Client

Url = Annotated[
    str | None, typer.Option("--url", help="Address of the service; else TUNERL_URL, else local.")
]
Id = Annotated[str, typer.Argument(help="Id or name of the experiment.", metavar="EXPERIMENT")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SpecFile = Annotated[Path, typer.Argument(help="The experiment as YAML or JSON.", metavar="FILE")]


def connect(url: str | None) -> Client:
    """A client for `url`, ``TUNERL_URL``, or where `tunerl serve` listens by default."""
    from service.client import Client
    from service.settings import read_settings

    settings = read_settings()
    local = "127.0.0.1" if not settings.loopback else settings.host
    port = settings.port or 8700
    address = url or os.environ.get("TUNERL_URL") or f"http://{_bracketed(local)}:{port}"
    if not address.startswith(("http://", "https://")):
        raise InvalidInput(f"{address!r} is no address; write it as http://host:port")
    return Client(address, settings.token)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def read_spec(file: Path, name: str | None = None) -> dict[str, Any]:
    """The experiment in a YAML or JSON file. Raises `InvalidSpec` for what cannot be read."""
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{file} cannot be read: {error}") from None
    try:
        spec = json.loads(text) if file.suffix == ".json" else yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, ValueError) as error:
        place = " ".join(str(error).split())
        raise InvalidSpec(f"{file} is neither valid YAML nor JSON: {place}") from None
    if not isinstance(spec, dict):
        what = "is empty" if spec is None else f"holds a {type(spec).__name__}"
        form = "an experiment is a mapping of its fields: trainable, param_space, stop, ..."
        raise InvalidSpec(f"{file} {what}; {form}")
    return {**spec, "name": name} if name else spec


def _loader() -> type[Any]:
    """YAML's safe loader that also takes ``1e-4`` for a number, as everybody means it."""
    import re

    import yaml

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def submit(
    file: SpecFile,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and watch it.")] = False,
    name: Annotated[str | None, typer.Option(help="A name other than the file's.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: one key makes one experiment.")
    ] = None,
    url: Url = None,
) -> None:
    """Submit an experiment; prints its id."""
    with connect(url) as client:
        experiment = client.create(read_spec(file, name), key)
        print(experiment["id"], flush=True)
        if watch:
            _watch(client, experiment["id"])


def list_command(
    status: Annotated[str | None, typer.Option(help="Only those with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List experiments, newest first."""
    from service import show

    with connect(url) as client:
        items = client.list(status.upper() if status else None, limit)
    print_json(items) if as_json else console().print(show.experiments(items))


def show_command(id: Id, as_json: AsJson = False, url: Url = None) -> None:
    """Show one experiment."""
    from service import show

    with connect(url) as client:
        item = client.get(id)
    print_json(item) if as_json else console().print(show.experiment(item))


def watch_command(id: Id, url: Url = None) -> None:
    """Watch an experiment until it has finished; exits with 1 unless it completed."""
    with connect(url) as client:
        _watch(client, id)


def _watch(client: Client, id: str) -> None:
    from service.watch import watch

    if watch(client, id, console())["status"] != "COMPLETED":
        sys.exit(1)


def results(
    id: Id,
    csv: Annotated[Path | None, typer.Option(help="Write them as CSV to this file.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show the results of all trials."""
    from service import show

    with connect(url) as client:
        if csv is not None:
            print(client.results_csv(id, csv))
            return
        experiment, items = client.get(id), client.results(id)
    if as_json:
        print_json(items)
        return
    searched = show.searched(experiment["spec"]["param_space"])
    console().print(show.results(items, searched, experiment["metric"]))


def best(
    id: Id,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Unpack its checkpoint into DIR (new).")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show the best trial; with --download fetch its checkpoint."""
    from service import show

    with connect(url) as client:
        trial = client.best(id)
        if download is not None:
            client.download_best(id, download)
    if as_json:
        print_json(trial)
        return
    print(f"trial {trial['number']}: {show.quantity(trial['best_objective'])}")
    for name, value in trial["config"].items():
        print(f"  {name}: {show.cell(value)}")
    if download is not None:
        print(f"checkpoint: {download}")


def confirm(
    id: Id,
    top: Annotated[int, typer.Option(min=1, help="How many configurations.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="On how many fresh seeds.")] = 10,
    url: Url = None,
) -> None:
    """Run the best again on seeds they were not tuned on; prints the new experiment's id."""
    with connect(url) as client:
        print(client.confirm(id, top, seeds)["id"])


def baseline(id: Id, url: Url = None) -> None:
    """Random search on the same budget; prints the new experiment's id."""
    with connect(url) as client:
        print(client.baseline(id)["id"])


def ranking(id: Id, as_json: AsJson = False, url: Url = None) -> None:
    """Show what a confirmation found, the best first."""
    from service import show

    with connect(url) as client:
        leaders = client.ranking(id)
    if as_json:
        print_json(leaders)
        return
    for leader in leaders:
        low, high = show.quantity(leader["low"]), show.quantity(leader["high"])
        print(
            f"{leader['rank']}. trial {leader['trial']}: {show.quantity(leader['iqm'])} "
            f"[{low}, {high}] on {len(leader['values'])} fresh seeds, "
            f"tuned {show.quantity(leader['tuned'])}"
        )


def cancel(id: Id, url: Url = None) -> None:
    """Cancel an experiment."""
    _ask("cancel", id, url)


def pause(id: Id, url: Url = None) -> None:
    """Put an experiment aside; its running trials are saved."""
    _ask("pause", id, url)


def resume(id: Id, url: Url = None) -> None:
    """Let a paused experiment go on."""
    _ask("resume", id, url)


def _ask(verb: str, id: str, url: str | None) -> None:
    with connect(url) as client:
        experiment = getattr(client, verb)(id)
    print(f"{experiment['name']}: {experiment['status']}, {verb} requested")


COMMANDS = (
    submit,
    list_command,
    show_command,
    watch_command,
    results,
    best,
    confirm,
    baseline,
    ranking,
    cancel,
    pause,
    resume,
)
