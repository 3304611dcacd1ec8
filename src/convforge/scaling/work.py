"""A search under way: its steps, each of which passes through the ledger and is done once.

candidates → plan → search → the winner whole → train → compile → measure → report
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convforge.classifier import Classifier
from convforge.errors import BudgetError, Interrupted, PackageError, TimeLimitError
from convforge.files import write_file
from convforge.scaling.budget import MEGABYTE
from convforge.scaling.candidates import TRIES, Candidate, Fitter, without_twins
from convforge.scaling.estimate import Size
from convforge.scaling.finish import (
    WHOLE,
    Places,
    build,
    check_shipped,
    move,
    name_of,
    seconds_after,
    whole_cost,
)
from convforge.scaling.latency import Cost
from convforge.scaling.plan import (
    PROPOSALS,
    SHARE,
    TRIAL_S,
    Plan,
    plan_by_epochs,
    plan_by_time,
)
from convforge.scaling.report import save_report
from convforge.scaling.result import Scaled, record_of
from convforge.scaling.search import search
from convforge.scaling.trials import as_winner, chance_of, parts_of, speed_of, try_out
from convforge.training.journal import clear_states
from convforge.training.trainer import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from convforge.compiler.backend.target import Target
    from convforge.images.dataset import Images
    from convforge.images.threads import Progress
    from convforge.scaling.ledger import Ledger
    from convforge.scaling.search import Standing
    from convforge.scaling.space import Mix
    from convforge.training.recipe import Recipe

TRAINED = "classifier.safetensors"
LEAST = 0.05  # epochs that the winner must have time for, where the machine got slower meanwhile
LATE = 1.1  # times the search's SHARE it may take


def tell(progress: Progress | None, message: str) -> None:
    """Say what is being done, to whom wants to know."""
    if progress is not None:
        progress(0, 0, message)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A search under way; every step that takes time passes through the ledger."""

    images: Images
    recipe: Recipe
    device: str
    limit: float | None
    fitter: Fitter
    ledger: Ledger
    target: Target
    threads: int
    progress: Progress | None

    def run(self, roads: Sequence[Mix], *, places: Places) -> Scaled:
        """All of it."""
        candidates = without_twins(self._candidates(roads))
        able = [one for one in candidates if not one.reason]
        if not able:
            raise BudgetError(
                f"scale: no mix of {', '.join(road.name for road in roads)} gets within the budget "
                f"of {self.fitter.budget.text()}: {candidates[0].reason}; let more mixes compete"
            )
        plan = Plan.from_json(
            self.ledger.once("plan", lambda: self._plan(able, count=len(roads)).to_json())
        )
        standings = search(
            sorted(candidates, key=lambda one: plan.distance(one.cost.macs)),
            plan=plan,
            chance=chance_of(parts_of(self.images, seed=self.recipe.seed)),
            score=lambda candidate, rung: self._score(candidate, rung, plan=plan),
            fit=self._proposal,
            smallest=self.fitter.smallest,
            seed=self.recipe.seed,
        )
        winner, whole = self._choose(standings)
        reserve = seconds_after(whole["seconds"], target=self.target)
        classifier = self._train(winner, plan=plan, reserve=reserve)
        record = record_of(
            standings,
            network=self.fitter.network,
            uri=self.images.uri,
            budget=self.fitter.budget,
            threads=self.threads,
            target=name_of(self.target),
            seed=self.recipe.seed,
            plan=plan,
            winner=winner.name,
        )
        return self._ship(classifier, places, winner=winner, whole=whole, record=record)

    def _candidates(self, roads: Sequence[Mix]) -> list[Candidate]:
        """Of every road, or of the first ones where measuring takes up the search's time."""
        found: list[Candidate] = []
        for road in roads:
            late = self.limit is not None and self.ledger.spent > SHARE * self.limit / 2
            if late and any(not one.reason for one in found):
                break
            found.append(self._candidate(road))
        return found

    def _candidate(self, road: Mix) -> Candidate:
        """Of a road; what was measured for it is recorded, for later estimates go by it."""
        estimate = self.fitter.estimate

        def compute() -> dict[str, Any]:
            tell(self.progress, f"fitting {road.name} to the budget")
            before = len(estimate.known())
            candidate = self.fitter.candidate(road).to_json()
            new = [
                (dataclasses.asdict(size), dataclasses.asdict(cost))
                for size, cost in estimate.known()[before:]
            ]
            return {"candidate": candidate, "measured": new}

        record = self.ledger.once(f"candidate {road.name}", compute)
        for size, cost in record["measured"]:
            estimate.add(Size(**size), Cost(**cost))
        return Candidate.from_json(record["candidate"])

    def _proposal(self, mix: Mix) -> Candidate | None:
        """Of a proposed mix; None where compiling for it would take the winner's time."""
        known = self.ledger.get(f"candidate {mix.name}") is not None
        if not known and self._too_late(TRIES * self._compile_s()):
            return None
        return self._candidate(mix)

    def _too_late(self, seconds: float) -> bool:
        """Whether so many seconds more are not the search's to take."""
        return self.limit is not None and self.ledger.spent + seconds > LATE * SHARE * self.limit

    def _compile_s(self) -> float:
        """Seconds of the longest compilation so far."""
        return max(cost.seconds for _, cost in self.fitter.estimate.known())

    def _plan(self, able: Sequence[Candidate], *, count: int) -> Plan:
        usable = len(parts_of(self.images, seed=self.recipe.seed).splits["train"])
        proposals = PROPOSALS if count > 1 else 0
        if self.limit is None:
            return plan_by_epochs(
                self.recipe.epochs,
                images=usable,
                batch_size=self.recipe.batch_size,
                named=len(able),
                proposals=proposals,
            )
        tell(self.progress, "timing training steps")
        speed = speed_of(
            self.fitter.network,
            {one.cost.macs: one.arguments for one in able},
            images=self.images,
            recipe=self.recipe,
            device=self.device,
        )
        whole_s = WHOLE * self._compile_s()
        return plan_by_time(
            limit=self.limit,
            speed=speed,
            spent=self.ledger.spent,
            reserve=whole_s + seconds_after(whole_s, target=self.target),
            macs=[one.cost.macs for one in able],
            images=len(self.images.splits["train"]),
            usable=usable,
            epochs=self.recipe.epochs,
            batch_size=self.recipe.batch_size,
            proposals=proposals,
        )

    def _score(self, candidate: Candidate, rung: int, *, plan: Plan) -> float | None:
        """Accuracy on a rung; None where training for it would take the winner's time."""
        key = f"rung {rung} {candidate.name}"
        known = self.ledger.get(key)
        if known is not None:
            return float(known["top1"])
        epochs = plan.epochs(rung, macs=candidate.cost.macs)
        passes = epochs * plan.rungs[rung].images * candidate.cost.macs
        if self._too_late(TRIAL_S + passes * self._pace(plan)):
            return None
        before = self.ledger.spent
        images = parts_of(self.images, count=plan.rungs[rung].images, seed=self.recipe.seed)
        trial = try_out(
            self.fitter.network,
            candidate.arguments,
            images=images,
            recipe=dataclasses.replace(self.recipe, epochs=epochs),
            device=self.device,
            progress=_prefixed(self.progress, f"{candidate.name}, rung {rung + 1}"),
        )
        trial.save(self.ledger.trial(candidate.name))
        record = {
            "top1": float(trial.card.metrics["test"]["top1"]),
            "epochs": epochs,
            "images": len(images.splits["train"]),
            "passes": passes,
            "seconds": round(self.ledger.spent - before, 3),
        }
        self.ledger.put(key, record)
        return float(record["top1"])

    def _pace(self, plan: Plan) -> float:
        """Seconds of a multiply-add of a pass: of the trials so far, before any of the plan's."""
        done = [record for record in self.ledger.all("rung") if record["passes"]]
        if not done:
            return plan.a_pass / plan.macs if plan.macs else 0.0
        seconds = sum(max(record["seconds"] - TRIAL_S, 0.0) for record in done)
        return float(seconds / sum(record["passes"] for record in done))

    def _choose(self, standings: Sequence[Standing]) -> tuple[Candidate, Mapping[str, float]]:
        """The best candidate whose whole artifact, untrained, is within the budget.

        Once chosen it stays, as its training may be under way; what missed is measured anew.
        """
        budget = self.fitter.budget
        chosen = self.ledger.get("winner")
        tried = []
        for one in standings:
            candidate = one.candidate
            if candidate.reason:
                continue
            if chosen is not None and candidate.name == chosen["name"]:
                return candidate, chosen["whole"]
            if chosen is not None:
                continue
            tell(self.progress, f"compiling {candidate.name}")
            whole = self._whole(candidate)
            if budget.use(_with(candidate.cost, whole)) <= 1:
                self.ledger.put("winner", {"name": candidate.name, "whole": whole})
                return candidate, whole
            one.candidate = dataclasses.replace(
                candidate, reason=f"is over the budget when whole: {whole['ms']:.3g} ms"
            )
            tried.append(f"{candidate.name} takes {whole['ms']:.3g} ms")
        raise BudgetError(
            f"scale: whole and compiled, none of the candidates is within {budget.text()}: "
            f"{'; '.join(tried)}; the machine is busier than when they were measured: run the same "
            "command again when it is idle, or give more"
        )

    def _whole(self, candidate: Candidate) -> dict[str, float]:
        found = whole_cost(
            self.fitter.network,
            candidate.arguments,
            num_classes=len(self.images.classes),
            in_channels=self.images.channels,
            threads=self.threads,
        )
        if self.target.form == "page":  # found are the bytes of its twin
            found["file_bytes"] = candidate.cost.file_bytes
        return found

    def _train(self, winner: Candidate, *, plan: Plan, reserve: float) -> Classifier:
        """The winner trained on all images, in what time is left but for `reserve`.

        Where none is, it is what was trained in its last trial.
        """
        folder = self.ledger.folder / "winner"
        trained = folder / TRAINED
        if trained.exists():
            return Classifier.load(trained)
        left = None if self.limit is None else self.limit - self.ledger.spent - reserve
        try:
            classifier = train(
                self.images,
                network=self.fitter.network,
                arguments={name: winner.arguments[name] for name in ("width", "depth")},
                input_size=winner.arguments["input_size"],
                recipe=self.recipe,
                time_limit=left,
                least=LEAST,
                device=self.device,
                folder=folder,
                progress=_prefixed(self.progress, f"training {winner.name}"),
            )
        except Interrupted as error:
            raise Interrupted(
                f"stopped in the training of the winner, {winner.name}, which is saved in {folder};"
                " the same command goes on from there",
                signal=error.signal,
            ) from None
        except TimeLimitError as error:
            classifier = self._trial(winner, plan=plan, error=error)
            folder.mkdir(exist_ok=True)
        classifier.save(trained)
        clear_states(folder)
        return classifier

    def _trial(self, winner: Candidate, *, plan: Plan, error: TimeLimitError) -> Classifier:
        """What was trained in the last trial of a candidate; raises `error` where there is none."""
        counts = [
            record["images"]
            for rung in range(len(plan.rungs))
            if (record := self.ledger.get(f"rung {rung} {winner.name}")) is not None
        ]
        if not counts:
            raise TimeLimitError(
                f"scale: {self.limit:.0f} s are over before anything was trained ({error}); the "
                "same command with a larger max_train goes on from here",
                names=["max_train"],
            ) from None
        tell(self.progress, f"no time is left: measuring the trial of {winner.name}")
        trial = Classifier.load(self.ledger.trial(winner.name))
        return as_winner(trial, images=self.images, trained_on=counts[-1])

    def _ship(
        self,
        classifier: Classifier,
        places: Places,
        *,
        winner: Candidate,
        whole: Mapping[str, float],
        record: dict[str, Any],
    ) -> Scaled:
        """Save, compile, measure once more, and report."""
        tell(self.progress, "compiling the winner")
        budget = self.fitter.budget
        trained = self.ledger.folder / "winner" / TRAINED
        built, file_bytes, ms = build(
            trained,
            name=places.artifact.name,
            target=self.target,
            threads=self.threads,
            budget=budget,
        )
        cost = dataclasses.replace(winner.cost, ms=ms, file_bytes=file_bytes)
        check_shipped(cost, chosen_ms=whole["ms"], budget=budget, trained=trained)
        artifact = move(built, places.artifact)
        classifier.save(places.file)
        record = {
            **record,
            "file": str(places.file),
            "artifact": str(artifact),
            "ms": ms,
            "megabytes": file_bytes / MEGABYTE,
            "metrics": classifier.card.metrics,
            "epochs": classifier.card.recipe["epochs"],
            "trained": classifier.card.trained,
            "seconds": round(self.ledger.spent, 3),
        }
        text = json.dumps(record, indent=2, allow_nan=False)
        write_file(self.ledger.folder / "result.json", text.encode())
        self.ledger.remove_trials()
        return Scaled(
            classifier=classifier,
            file=places.file,
            artifact=artifact,
            report=_report(self.ledger.folder, record),
            ms=ms,
            file_bytes=file_bytes,
            record=record,
        )


def _report(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """The report; None without matplotlib: by then there is a result, which is worth more."""
    try:
        return save_report(folder, record)
    except PackageError:
        return None


def _with(cost: Cost, whole: Mapping[str, float]) -> Cost:
    return dataclasses.replace(cost, ms=whole["ms"], file_bytes=int(whole["file_bytes"]))


def _prefixed(progress: Progress | None, what: str) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, message: progress(done, total, f"{what}: {message}")
