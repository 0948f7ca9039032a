"""Fixtures of the whole house; a room's own are in its folder.

Environment:

- ``QMPD_REQUIRE_ORACLE=1``: a missing real QEMU is an error instead of skipped tests.
- ``QMPD_ORACLE_EXAMPLES``: examples per property in the profile ``oracle``.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from qmpd.testing.oracle.start import real_is_installed

pytest_plugins = ["qmpd.testing.oracle.plugin"]

# What runs on every change asks the same questions each time, so that it fails for a reason.
settings.register_profile(
    "default", derandomize=True, max_examples=60, deadline=None, database=None
)
# `make oracle` looks for questions that nobody has asked yet.
settings.register_profile(
    "oracle",
    max_examples=int(os.environ.get("QMPD_ORACLE_EXAMPLES", "2000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


def pytest_sessionstart():
    if os.environ.get("QMPD_REQUIRE_ORACLE") == "1" and not real_is_installed():
        raise pytest.UsageError(
            "QMPD_REQUIRE_ORACLE=1, but the real QEMU is not installed: qemu-storage-daemon,"
            " qemu-system-x86_64, qemu-img and qemu-io are needed"
        )
