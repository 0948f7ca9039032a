"""Commands about jobs, in both families: ``job-*`` and the older ``block-job-*``."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.jobs import states, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.jobs.job import Job
    from qmpd.machine import Machine


def _finalize(job: Job) -> None:
    job.apply_verb("finalize")
    job.manager.finalize(job)


def _dismiss(job: Job) -> None:
    job.apply_verb("dismiss")
    job.manager.reach(job, states.NULL, lambda: job.manager.forget(job))


def _generic(action: Callable[[Job], None]) -> Callable[..., None]:
    def handler(machine: Machine, *, id: str) -> None:  # noqa: A002 - the argument's wire name
        action(machine.jobs.find(id))

    return handler


def _block(action: Callable[[Job], None]) -> Callable[..., None]:
    def handler(machine: Machine, *, device: str) -> None:
        action(machine.jobs.find_block_job(device))

    return handler


def _block_by_id(action: Callable[[Job], None]) -> Callable[..., None]:
    def handler(machine: Machine, *, id: str) -> None:  # noqa: A002 - the argument's wire name
        action(machine.jobs.find_block_job(id))

    return handler


job_pause = _generic(lambda job: job.user_pause())
job_resume = _generic(lambda job: job.user_resume())
job_cancel = _generic(lambda job: job.user_cancel(force=True))
job_complete = _generic(lambda job: job.user_complete())
job_finalize = _generic(_finalize)
job_dismiss = _generic(_dismiss)

block_job_pause = _block(lambda job: job.user_pause())
block_job_resume = _block(lambda job: job.user_resume())
block_job_complete = _block(lambda job: job.user_complete())
block_job_finalize = _block_by_id(_finalize)
block_job_dismiss = _block_by_id(_dismiss)


def block_job_cancel(machine: Machine, *, device: str, force: bool = False) -> None:
    """Cancel softly, or by force.

    Raises:
        QmpError: unknown, not in this state, or paused by the user and not by force.
    """
    job = machine.jobs.find_block_job(device)
    if job.user_paused and not force:
        raise QmpError(wording.paused(device))
    job.user_cancel(force=force)


def block_job_set_speed(machine: Machine, *, device: str, speed: int) -> None:
    """Limit a job to ``speed`` bytes per second, 0 is unlimited.

    Raises:
        QmpError: unknown, not in this state, or negative.
    """
    machine.jobs.find_block_job(device).set_speed(speed)


def query_jobs(machine: Machine) -> list[dict[str, Any]]:
    """All jobs, newest first."""
    return [_job_info(job) for job in reversed(machine.jobs.jobs.values())]


def _job_info(job: Job) -> dict[str, Any]:
    info: dict[str, Any] = {
        "id": job.id,
        "type": job.type,
        "status": job.status,
        "current-progress": job.current,
        "total-progress": job.total,
    }
    if job.error:
        info["error"] = job.error
    return info


def query_block_jobs(machine: Machine) -> list[dict[str, Any]]:
    """All block jobs, newest first."""
    return [_block_job_info(job) for job in reversed(machine.jobs.jobs.values())]


def _block_job_info(job: Job) -> dict[str, Any]:
    info: dict[str, Any] = {
        "type": job.type,
        "device": job.id,
        "len": job.total,
        "offset": job.current,
        "busy": job.busy,
        "paused": job.pause_count > 0,
        "speed": job.rate.speed,
        "io-status": job.io_status,
        "ready": states.is_ready(job.status),
        "status": job.status,
        "auto-finalize": job.auto_finalize,
        "auto-dismiss": job.auto_dismiss,
    }
    if job.error:
        info["error"] = job.error
    return info
