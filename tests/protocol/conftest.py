"""What the tests of the wire share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def real_qemu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wire.StorageDaemon]:
    """A qemu-storage-daemon that takes one connection after the other."""
    if not wire.available():
        pytest.skip(f"{wire.PROGRAM} is not installed")
    daemon = wire.StorageDaemon(tmp_path_factory.mktemp("qemu"))
    yield daemon
    daemon.close()
