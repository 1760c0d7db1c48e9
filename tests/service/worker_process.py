"""A worker in a process of its own that knows the tests' trainables."""

from __future__ import annotations

import logging

from service.settings import read_settings
from service.worker import run_worker
from tests.service import trainables

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    trainables.register()
    run_worker(read_settings())
