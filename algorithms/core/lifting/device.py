"""Where updates run: on the processor, or on an accelerator that their arguments are sent to.

Invariant: outside of an update every tensor is on the processor, so acting, states and checkpoints
know of no device. Rows of an update on an accelerator are independent, but equal to the last bit
only as far as its kernels are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from algorithms.core.lifting.compiling import traced
from tunerl.errors import InvalidConfig, Problem
from tunerl.trial import Config

FIELD = "num_gpus_per_learner"


class Device:
    """`away`: arguments are sent there and results fetched back, wherever `name` is."""

    def __init__(self, name: str = "cpu", *, away: bool | None = None) -> None:
        self.name, self.device = name, torch.device(name)
        self.away = self.device.type != "cpu" if away is None else away

    def graph(self, function: Callable[..., Any], args: tuple[Tensor, ...]) -> Callable[..., Any]:
        """A function of tensors, traced there: it takes and gives tensors of the processor's."""
        with self.device:  # what the function makes itself is made there, too
            run = traced(function, self._there(args)).forward

        def call(*given: Tensor) -> Any:
            return [found.cpu() for found in run(*self._there(given))]

        return call

    def _there(self, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(arg.to(self.device) for arg in args)


HERE = Device()


def of(config: Config) -> Device:
    """Where the updates of a (resolved) configuration run. Raises `InvalidConfig` where it asks for
    an accelerator and this process sees none."""
    wanted = config.get(FIELD) or 0.0
    if not wanted:
        return HERE
    if torch.cuda.is_available():
        return Device("cuda")
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    message = (
        f"{wanted:g} given, but there is no GPU that this process can use: torch "
        f"{torch.__version__} is {built} and sees {torch.cuda.device_count()} devices; leave it at "
        "0, or train where there is one"
    )
    raise InvalidConfig(Problem(FIELD, message))


def problems(config: Config) -> Iterator[Problem]:
    """What does not go together with an accelerator."""
    if not config.get(FIELD):
        return
    if config["torch_compile_learner"]:
        what = f"compiles for the processor; with {FIELD} leave it out"
        yield Problem("torch_compile_learner", what)
    if config.get("num_learners", 0) > 1:
        yield Problem("num_learners", f"several learners have no GPUs; with {FIELD} leave it at 0")
