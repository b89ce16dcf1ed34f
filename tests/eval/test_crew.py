"""Who plays the episodes: one, several, or a cluster, and a clear word where there is none."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from learning.evaluation.crew import Alone, Processes, RayCluster, crew_for
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.variants import Case
from robotd.errors import StateError


def play(work: str, case: Case) -> EpisodeRecord:
    return EpisodeRecord(variant=0, seed=case.seed, outcome=work, steps=1)


class TaskError(Exception):
    """Ray's, as far as it is used: what a task raised, in another exception."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class FakeRay:
    """Ray's functions that are used, one task at a time, the last one first."""

    exceptions = SimpleNamespace(RayTaskError=TaskError, RayError=LookupError)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def init(self, address: str, ignore_reinit_error: bool, log_to_driver: bool) -> None:
        assert not log_to_driver  # it would stand in the JSON
        if address == "nowhere":
            raise ConnectionError("Could not find any running Ray instance.\nAnd more")
        self.calls.append(f"init {address}")

    def put(self, value: Any) -> Any:
        return value

    def remote(self, num_cpus: int) -> Callable[[Callable[..., Any]], Any]:
        class Task:
            def __init__(self, function: Callable[..., Any]) -> None:
                self._function = function

            def remote(self, *arguments: Any) -> Any:
                return lambda: self._function(*arguments)

        return Task

    def wait(self, waiting: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return waiting[-1:], waiting[:-1]

    def get(self, reference: Any) -> Any:
        try:
            return reference()
        except StateError as error:
            raise TaskError(error) from error

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def test_a_cluster_plays_every_case_once_and_is_let_go() -> None:
    ray = FakeRay()
    cases = [Case(0, seed) for seed in range(5)]
    records = list(RayCluster(ray, "auto").play(play, "success", cases))
    assert sorted(record.seed for record in records) == list(range(5))
    assert ray.calls == ["init auto", "shutdown"]


def test_a_cluster_is_let_go_when_a_case_fails() -> None:
    ray = FakeRay()

    def fails(_work: Any, _case: Case) -> EpisodeRecord:
        raise StateError("what", "likely", "do")

    with pytest.raises(StateError, match="what") as caught:
        list(RayCluster(ray, "auto").play(fails, None, [Case(0, 0)]))
    assert caught.value.do == "do" and ray.calls[-1] == "shutdown"


def test_a_cluster_that_is_not_there_and_a_worker_that_is_lost_are_answers() -> None:
    with pytest.raises(
        StateError, match="No Ray cluster answers at nowhere: Could not find"
    ) as caught:
        list(RayCluster(FakeRay(), "nowhere").play(play, "success", [Case(0, 0)]))
    assert "--ray local" in caught.value.do

    def lost(_work: Any, _case: Case) -> EpisodeRecord:
        raise LookupError("The worker died unexpectedly")

    with pytest.raises(StateError, match="worker of the Ray cluster was lost") as caught:
        list(RayCluster(FakeRay(), "auto").play(lost, None, [Case(0, 0)]))
    assert "goes on where it was" in caught.value.do


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(StateError, match="Ray is not installed") as caught:
        crew_for(None, 50, "auto")
    assert "--extra ray" in caught.value.do and "--workers" in caught.value.do


def test_a_few_episodes_are_not_worth_a_process() -> None:
    assert isinstance(crew_for(None, 5, None), Alone)
    assert isinstance(crew_for(1, 500, None), Alone)
    assert isinstance(crew_for(3, 5, None), Processes)
