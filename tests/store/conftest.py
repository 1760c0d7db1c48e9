"""An empty store on each database: every test that asks for `store` runs on all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tunerl.store import Store


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    with Store(url) as made:
        yield made
