"""What a run leaves in its folder while it goes on: states to continue from, a log of epochs.

NAME.run/state-00000120.safetensors, …     the two newest
NAME.run/log.csv                           one row an epoch
NAME.run/recipe.json                       as `--recipe` reads it
NAME.run/events.out.tfevents.…             for TensorBoard, where that is asked for
NAME.run/report.html                       in the end, by `report`
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any, Literal

from convforge.errors import Interrupted, OutputError, RecipeError
from convforge.training.course import Course
from convforge.training.distributed import ALONE, Team
from convforge.training.lock import alone_in
from convforge.training.log import write_log
from convforge.training.recipe import Recipe
from convforge.training.recipes import save_recipe
from convforge.training.state import differences, load_state, save_state, states
from convforge.training.stopping import Stop, stop_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from convforge.training.learner import Learner
    from convforge.training.loggers import Logger

Earlier = Literal["continue", "remove"]

CHEAP_S = 0.1  # seconds that a state may take and is written after every epoch
SAVING = 0.05  # of the time, where it takes longer: what states after epochs may cost


class Journal:
    """Keeps a run in `folder`, which is made; a state is due every `save_every` seconds.

    `identity` is what must be equal in a run that continues: plain JSON, with its "recipe".
    `earlier` is what becomes of the state of an earlier run. `stop` says when a signal has come.
    `logger` is told of the run, beside the log, in the first process of a team. Raises OutputError
    where the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        identity: Mapping[str, Any],
        save_every: float,
        stop: Stop,
        earlier: Earlier = "continue",
        team: Team = ALONE,
        logger: Logger | None = None,
    ) -> None:
        self.folder, self.identity, self.team, self.stop = folder, identity, team, stop
        self._earlier = earlier
        self._logger = logger if team.rank == 0 else None
        self._save_every = save_every
        self._started = self._saved = time.monotonic()
        self._took = 0.0  # seconds, the last state
        if team.rank == 0:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{folder}: cannot be made ({error.strerror}); name another folder"
                ) from None

    def restore(self, learner: Learner) -> Course | None:
        """Put the newest state into the learner and give its course; None where there is none.

        The run starts here: its recipe is written. Raises RecipeError where the state is of another
        run, saying what differs, or another one than the other processes of the team have; the
        folder is then as it was.
        """
        course = self._restore(learner) if self._earlier == "continue" else None
        if not self.team.alike((0 if course is None else course.step, self.identity["data"])):
            raise RecipeError(
                f"{self.folder}: the processes of the team have not all the same images and the "
                "same state to go on from; start them in one folder that all of them see"
            )
        if self.team.rank == 0:
            if course is None:
                clear_states(self.folder)
            save_recipe(Recipe.from_json(self.identity["recipe"]), self.folder / "recipe.json")
        if self._logger is not None:
            shown = {k: v for k, v in self.identity["data"].items() if k != "split"}
            self._logger.start({**self.identity, "data": shown}, course or Course())
        return course

    def _restore(self, learner: Learner) -> Course | None:
        found = states(self.folder)
        if not found:
            return None
        tensors, course, identity = load_state(found[-1])
        differing = differences(self.identity, identity)
        if differing:
            raise RecipeError(
                f"{found[-1]}: a state of another run: {'; '.join(differing[:3])}; give what is "
                "there to continue it, or start again in another folder"
            )
        learner.load(tensors)
        self._started -= course.seconds
        return course

    def after_step(
        self, learner: Learner, course: Course, *, stopping: bool, epoch_ended: bool
    ) -> None:
        """Save and log where that is due. Raises Interrupted, after saving, where it is to stop.

        A state is due after an epoch too, unless epochs are so short that it would hold them up.
        The log is written anew, so that it has the epochs of the course and no others.
        """
        course.seconds = time.monotonic() - self._started
        if epoch_ended:
            course.history[-1]["seconds"] = round(course.seconds, 3)
        if self.team.rank == 0 and epoch_ended:
            write_log(self.folder, course.history)
            if self._logger is not None:
                self._logger.epoch(course.history[-1])
        if self.team.rank == 0 and (stopping or self._is_due(epoch_ended=epoch_ended)):
            started = time.monotonic()
            save_state(self.folder, learner.state(), course=course, identity=self.identity)
            self._saved = time.monotonic()
            self._took = self._saved - started
        if stopping:
            raise Interrupted(
                f"stopped after step {course.step}, which is saved in {self.folder}; the same "
                "command with --resume goes on from there",
                signal=self.stop.signal or signal.SIGTERM,
            )

    def _is_due(self, *, epoch_ended: bool) -> bool:
        since = time.monotonic() - self._saved
        worth = self._took < CHEAP_S or self._took < SAVING * since
        return since >= self._save_every or (epoch_ended and worth)


@contextlib.contextmanager
def open_journal(
    folder: Path | None,
    *,
    identity: Mapping[str, Any],
    earlier: Earlier = "continue",
    save_every: float,
    team: Team = ALONE,
    logger: Logger | None = None,
) -> Iterator[Journal | None]:
    """The journal of a run in `folder`, with signals noted within; None where there is none.

    Raises OutputError for a `logger` without a folder, which says where a run goes on, and where
    another process has a run there.
    """
    if folder is None:
        if logger is not None:
            raise OutputError("a logger was given, and no folder of the run; name one")
        yield None
        return
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        journal = Journal(
            folder,
            identity=identity,
            earlier=earlier,
            save_every=save_every,
            stop=stop,
            team=team,
            logger=logger,
        )
        if team.rank == 0:
            stack.enter_context(alone_in(folder))
        yield journal


def check_ended(folder: Path) -> None:
    """Raise OutputError where a folder has the state of a run that has not ended."""
    if states(folder):
        raise OutputError(
            f"{folder}: has the state of a run that has not ended; go on with it by --resume, or "
            "start again by --force"
        )


def clear_states(folder: Path) -> None:
    """Remove the states of a run that is finished, or that is to start again."""
    for path in states(folder):
        path.unlink(missing_ok=True)
