"""Committing the active layer: a mirror into the base, then a pivot when asked to."""

from __future__ import annotations

from qmpd.block.reopen import set_read_only
from qmpd.errors import QmpError
from qmpd.jobs.mirror import Mirror


class ActiveCommitJob(Mirror):
    """Copies the active layer into its base and waits, ready, for the pivot."""

    type = "commit"

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not.
        """
        was_read_only = self.target.flags.read_only
        if was_read_only:
            set_read_only(self.graph, self.target, read_only=False)
        try:
            super().begin()
        except QmpError:
            if was_read_only:
                try:
                    set_read_only(self.graph, self.target, read_only=True)
                except QmpError:
                    pass  # the first error counts
            raise
