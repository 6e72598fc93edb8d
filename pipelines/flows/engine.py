"""The one place where a flow meets Prefect, or does without.

A flow is a plain function and so is a task. Called in a Prefect flow run, a task becomes a task
run of it; called anywhere else it is called, with the same rule for trying again. So a flow needs
no server, and Prefect is imported only by `served.py`, which makes Prefect flows of the functions.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from pasam.errors import TransientError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task as PrefectTask

P = ParamSpec("P")
R = TypeVar("R")

LOGGER = logging.getLogger("pipelines.flows")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a flow ended, if it did not fail."""

    name: str
    """One word for the list of runs: unchanged, promoted, rejected..."""
    message: str
    """A sentence for people."""


class Task(Generic[P, R]):
    """A function that is run, timed and tried again as a task of a flow.

    Args:
        function: The function.
        name: What a person sees; fields in braces are its arguments.
        delays: Seconds before each further try after a passing fault; nothing else is retried.
        timeout: Seconds that Prefect gives one try; None is for ever.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        delays: Sequence[float],
        timeout: float | None,
    ) -> None:
        self.function = function
        self.name = name
        self.delays = tuple(delays)
        self.timeout = timeout
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it, as a Prefect task if a Prefect flow is running."""
        if in_flow_run():
            return self._of_prefect()(*args, **kwargs)
        for delay in self.delays:
            try:
                return self.function(*args, **kwargs)
            except TransientError as error:
                LOGGER.warning("%s\nTrying again in %g s.", error, delay)
                time.sleep(delay)
        return self.function(*args, **kwargs)

    def _of_prefect(self) -> PrefectTask[P, R]:
        from prefect import task as prefect_task
        from prefect.cache_policies import NO_CACHE

        return prefect_task(
            name=self.function.__name__.replace("_", " "),
            task_run_name=self.name,
            retries=len(self.delays),
            retry_delay_seconds=list(self.delays),
            retry_condition_fn=worth_another_try,
            timeout_seconds=self.timeout,
            cache_policy=NO_CACHE,  # DVC is the only cache
            persist_result=False,
        )(self.function)


def task(
    name: str, *, delays: Sequence[float] = (), timeout: float | None = None
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of the function below; see `Task`."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(function, name=name, delays=delays, timeout=timeout)

    return decorate


def worth_another_try(task: PrefectTask[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect to retry after a passing fault, exit code 75, and after nothing else."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def in_flow_run() -> bool:
    """Say whether a Prefect flow is running here."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def flow_run_id() -> str | None:
    """Id of the Prefect flow run, if there is one."""
    if not in_flow_run():
        return None
    from prefect.runtime import flow_run

    return str(flow_run.id)


def say(message: str) -> None:
    """Tell whoever follows: on the run's page and in the terminal."""
    if in_flow_run():
        from prefect import get_run_logger

        get_run_logger().info("%s", message)
    else:
        LOGGER.info("%s", message)
