"""What a `ProcessMember`'s process runs: a `LocalMember` that answers through a pipe.

Invariant: it ends when its parent closes the pipe or dies.
"""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from algorithms.core.envs.local import LocalMember


def serve(pipe: Connection[Any, Any]) -> None:
    """Make the member that the first message describes, then answer until the pipe is closed."""
    factory, num_envs, seed, state = cloudpickle.loads(pipe.recv())
    try:
        member = LocalMember(factory, num_envs, seed, state)
    except Exception as error:
        pipe.send(("error", _portable(error)))
        return
    try:
        pipe.send(("obs", member.obs))
        while True:
            order, content = pipe.recv()
            try:
                answer: Any
                if order == "step":
                    member.send(content)
                    answer = member.receive()
                else:
                    answer = member.read()
            except Exception as error:
                pipe.send(("error", _portable(error)))
            else:
                pipe.send((order, answer))
    except (EOFError, OSError):
        return
    finally:
        member.close()


def _portable(error: Exception) -> bytes:
    """The exception with its traceback as a note; as plain text where it cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    error.add_note(f"In the environments' process:\n{text}")
    try:
        dumped: bytes = cloudpickle.dumps(error)
        cloudpickle.loads(dumped)
    except Exception:
        dumped = cloudpickle.dumps(RuntimeError(text))
    return dumped


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
