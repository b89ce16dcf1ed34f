"""Who plays the episodes: this process, several on this machine, or a Ray cluster. The episodes are the same.

A worker is given the whole work once and then case after case; a policy that it has loaded it keeps for the next one.
"""

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from learning.evaluation.records import EpisodeRecord
from learning.evaluation.variants import Case
from robotd.client import running_instances
from robotd.errors import RobotdError, StateError
from robotd.installed import install_again

_MOST_WORKERS = 16
_EPISODES_A_WORKER = (
    6  # fewer do not pay for the seconds in which a process imports torch and loads the policy
)

Play = Callable[[Any, Case], EpisodeRecord]
"""Plays one case of a work: a function of a module, so that another process can import it."""


class Crew(Protocol):
    """Plays cases, in any order."""

    def play(self, play: Play, work: Any, cases: Sequence[Case]) -> Iterator[EpisodeRecord]:
        """The record of each case as soon as it is there. Raises what playing one raised."""
        ...


class Alone:
    """One after the other, in this process."""

    def play(self, play: Play, work: Any, cases: Sequence[Case]) -> Iterator[EpisodeRecord]:
        for case in cases:
            yield play(work, case)


class Processes:
    """Several processes of this machine, spawned: nothing of this one is in them."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def play(self, play: Play, work: Any, cases: Sequence[Case]) -> Iterator[EpisodeRecord]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._workers, context, _begin, (play, work)) as pool:
            waiting = [pool.submit(_one, case) for case in cases]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            except BrokenProcessPool as error:
                raise StateError(
                    "A worker of the evaluation was killed.",
                    "The machine ran out of memory, or somebody ended the process.",
                    "Run the same command again with fewer --workers: it goes on where it was.",
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


_given: list[Any] = []  # what this worker process was given: the function and the work


def _begin(play: Play, work: Any) -> None:
    _given[:] = [play, work]


def _one(case: Case) -> EpisodeRecord:
    play, work = _given
    record: EpisodeRecord = play(work, case)
    return record


class RayCluster:
    """The workers of a Ray cluster, one core each. It has run on one machine, not on several.

    `ray` is the module; `address` is Ray's own (`auto`: the cluster that this machine belongs to, `local`: this
    machine). The folder of the checkpoint and this release of robotd must be on every machine; films stay on theirs.
    """

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        self._address = address

    def play(self, play: Play, work: Any, cases: Sequence[Case]) -> Iterator[EpisodeRecord]:
        ray = self._ray
        try:
            # What workers print belongs to them: a driver would put it into the JSON of --json.
            ray.init(address=self._address, ignore_reinit_error=True, log_to_driver=False)
        except Exception as error:  # Ray raises bare ones, too, when it does not come up in time
            raise StateError(
                f"No Ray cluster answers at {self._address}: {_first_line(error)}.",
                "None was started, this machine does not reach it, or it is too busy to begin one.",
                "Start one (ray start --head here, ray start --address=… on the others), or "
                "--ray local for the cores of this machine.",
            ) from error
        try:
            given = ray.put(work)
            task = ray.remote(num_cpus=1)(play)
            waiting = [task.remote(given, case) for case in cases]
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=1)
                yield _result(ray, done[0])
        finally:
            ray.shutdown()


def _result(ray: Any, reference: Any) -> EpisodeRecord:
    """What a task gave. Raises what it raised, or StateError for a worker that is gone."""
    try:
        record: EpisodeRecord = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RobotdError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise StateError(
            f"A worker of the Ray cluster was lost: {_first_line(error)}.",
            "Its machine ran out of memory, was switched off, or cannot be reached any more.",
            "Run the same command again: it goes on where it was.",
        ) from error
    return record


def _first_line(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return (words[0] if words else type(error).__name__).rstrip(".")


def ray_cluster(address: str) -> RayCluster:
    """The cluster at `address` (`auto`: the one this machine belongs to). Raises StateError without Ray."""
    try:
        return RayCluster(importlib.import_module("ray"), address)
    except ImportError as error:
        raise StateError(
            f"Ray is not installed here ({error}).",
            "It is an extra of robotd, for evaluations on more than one machine.",
            f"Install it: {install_again('ray')}. Without it --workers uses this machine's cores.",
        ) from error


def crew_for(workers: int | None, cases: int, ray_address: str | None) -> Crew:
    """The crew that was asked for; `workers` None: as many as cores and episodes are worth."""
    if ray_address is not None:
        return ray_cluster(ray_address)
    if workers is None:
        workers = min(_cores(), cases // _EPISODES_A_WORKER, _MOST_WORKERS)
    return Alone() if workers <= 1 else Processes(workers)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def yield_to_arms() -> None:
    """The plant takes all the processor that it is given: never from a real arm's loop."""
    if any(not each.simulated for each in running_instances().values()):
        os.nice(10)
