"""The search itself, as a pure state machine: `step(state, event) -> (state, effects)`. State, events and effects are JSON values.

    prepare ─> phase 1: depth ─> phase 2: sizes ─> final_train ─> bundle ─> done
                  each trial:  compile ─> measure     (beside each other: CANAO section 3.3; once for each device)
                               train                  (stopped when a measurement is over its device's limit)

Whoever carries the effects out (`jobs.driver`) may die at any time and may report an event twice or late: an event about a
command that is not pending changes nothing. A failed command fails its trial; the run fails only when nothing is left to try.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from data.errors import ModelError, UsageError
from engine.architecture import Architecture
from engine.constraints import model_mb
from engine.control import Drop, Extend, Pause, Request, Resume
from engine.history import History, Tried
from engine.proposals import next_proposal
from engine.reward import feasible_reward, infeasible_reward, next_baseline, tightest
from engine.settings import PREDICTED, SUPERNET, Settings
from engine.space import AT_ONCE, Decision, SearchSpace, phase_one_trials
from engine.strategies import Outcome, Strategy, make_strategy, phases_of

OVER = ("done", "failed", "cancelled")
ON_A_DEVICE = ("compile", "measure", "bundle")  # commands that each device has its own of


@dataclass
class TrialState:
    """One candidate. status: running | trained | over_limit | failed | cancelled."""

    trial: int
    phase: int
    architecture: dict[str, Any]  # the fields of `Architecture`
    name: str  # its written form
    choices: list[int]  # indices of the phase's decisions
    depth: int | None  # of phase 2's decisions
    status: str = "running"
    latency: dict[str, Any] | None = (
        None  # latency_ms, p10_ms and p90_ms (predicted: low_ms and high_ms), source: the result of `measure`
    )
    accuracy: float | None = None
    final_accuracy: float | None = None
    reward: float | None = None
    reason: str | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)  # latency on the search's further devices, by name
    bundles: dict[str, str] = field(default_factory=dict)  # file names, by device, of the best candidate

    @property
    def latency_ms(self) -> float | None:
        return None if self.latency is None else float(self.latency["latency_ms"])

    def latencies(self, settings: Settings) -> dict[str, dict[str, Any]]:
        """The latencies that are known, by device, the first device first."""
        first = {} if self.latency is None else {settings.device: self.latency}
        return {**first, **{device: self.others[device] for device in settings.also if device in self.others}}


@dataclass
class SearchState:
    """Everything that a search knows. status: running | paused | done | failed | cancelled."""

    run_id: str
    settings: dict[str, Any]
    status: str = "running"
    stage: str = "new"  # prepare | search | finalise
    teacher: dict[str, Any] | None = None  # the fields of the teacher's `Architecture`
    phase: int = 1
    depth: int | None = None  # what phase 1 has found
    baseline: float | None = None  # b of the reward
    strategy: dict[str, Any] | None = None
    trials: list[TrialState] = field(default_factory=list)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)  # command id -> kind, trial
    rejected: list[int] = field(default_factory=list)  # trials that were best, but did not become a bundle
    best: int | None = None  # the trial of the bundles
    error: str | None = None
    requests: int = 0  # number of the user's newest request that was taken
    finals: int = 0  # how often the best candidate's training was given up for more trials: its commands are new ones then

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SearchState":
        return cls(**{**values, "trials": [TrialState(**trial) for trial in values["trials"]]})


@dataclass(frozen=True)
class Start:
    """The run begins."""


@dataclass(frozen=True)
class Cancel:
    """The user wants no more of it."""


@dataclass(frozen=True)
class Finished:
    """A command is over: done with a result, failed with an error (one line), or stopped."""

    command_id: str
    status: Literal["done", "failed", "stopped"]
    result: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Do:
    """Queue a command. kind: prepare | compile | measure | train | final_train | bundle."""

    command_id: str
    kind: str
    trial: int | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """A command's outcome is no longer wanted."""

    command_id: str


@dataclass(frozen=True)
class Say:
    """A sentence for the user's log, and what pages draw of it."""

    message: str
    trial: int | None = None
    level: str = "info"
    data: Mapping[str, Any] = field(default_factory=dict)


Event = Start | Cancel | Finished | Request
Effect = Do | Stop | Say


def initial_state(run_id: str, settings: Settings) -> SearchState:
    return SearchState(run_id, settings.to_dict())


def step(state: SearchState, event: Event) -> tuple[SearchState, list[Effect]]:
    """The state after `event`, and what is to be done about it. `state` is left as it is; the same input gives the same output."""
    search = Search(state)
    effects = search.take(event)
    return search.state, effects


class Search:
    """A search that goes on from a state, which it leaves as it is: its own shares with it what does not change. Strategy and history of
    the trials are made of the state once and kept from event to event, so that an event costs the same however many there were."""

    def __init__(self, state: SearchState) -> None:
        self.state = replace(state, trials=list(state.trials), pending=dict(state.pending), rejected=list(state.rejected))
        self.settings = Settings.from_dict(state.settings)
        self.effects: list[Effect] = []
        self._changed: set[int] = set()  # trials that the history has not been told of
        self._learned = False  # whether this event has changed the strategy

    def take(self, event: Event) -> list[Effect]:
        """What is to be done about `event`; `state` is then that of after it."""
        self.effects = []
        try:
            self._take(event)
            if self._learned:
                self.state.strategy = self._strategy.to_state()
        except UsageError as error:  # of another package's strategy
            for trial in self._running():
                self._end_trial(trial.trial, "failed", str(error))
            self._fail(str(error))
        self._learned = False
        return self.effects

    def _take(self, event: Event) -> None:
        if isinstance(event, Request):
            self._take_request(event)
            return
        if self.state.status in OVER:
            return
        if isinstance(event, Start):
            if self.state.stage == "new":
                self._start()
        elif isinstance(event, Cancel):
            self._cancel()
        elif event.command_id in self.state.pending:
            command = self.state.pending.pop(event.command_id)
            ended = getattr(self, f"_{command['kind']}_ended")
            problem = None if event.status == "done" else event.error or f"{command['kind']} was stopped"
            if command["kind"] in ON_A_DEVICE:
                ended(command["trial"], event.result or {}, problem, command.get("device", self.settings.device))
            else:
                ended(command["trial"], event.result or {}, problem)

    # ---- the run

    def _start(self) -> None:
        settings = self.settings
        self.state.stage = "prepare"
        self._say(
            f"Search for '{settings.task}' {self._targets()}: "
            f"{settings.trials} trials, teacher {settings.teacher}, strategy {settings.strategy}, seed {settings.seed}"
        )
        for device in filter(settings.is_predicted, settings.limits):
            self._say(f"Latency on {device} is predicted, not measured", level="warning")
        self._do("prepare", None, {})

    def _prepare_ended(self, _: None, result: dict[str, Any], problem: str | None) -> None:
        if problem is not None:
            self._fail(problem)
            return
        self.state.teacher = result["teacher"]
        try:
            space = self._space
        except UsageError as error:  # sizes were given that this teacher's students cannot have
            self._fail(str(error))
            return
        self.state.stage = "search"
        self._say(
            f"Teacher {space.teacher}: {_listed(space.depths)} layers, hidden size {_listed(space.hidden_sizes)}, "
            f"FFN size {_listed(space.ffn_sizes)} of each layer"
        )
        if self.settings.architecture:
            self._try_the_one(space)
            return
        if self._phases == 1:
            self.state.phase = AT_ONCE
            self._say(f"Number of layers, hidden and FFN sizes at once, in {self.settings.trials} trials")
        else:
            self._say(f"Phase 1: the number of layers, in {self._phase_one_trials()} of {self.settings.trials} trials")
        self._go_on()

    def _try_the_one(self, space: SearchSpace) -> None:
        """The architecture that was asked for gets the only trial: nothing is searched."""
        try:
            architecture = Architecture.parse(self.settings.architecture)
            space.check(architecture)
        except (ModelError, UsageError) as error:
            self._fail(str(error))
            return
        self.state.phase = 2
        self._begin_trial(2, (), space.sized(architecture.hidden_size, architecture.ffn_sizes))  # with the teacher's vocabulary

    def _cancel(self) -> None:
        for trial in self._running():
            self._end_trial(trial.trial, "cancelled", "the run was cancelled")
        self._end("cancelled")
        self._say("Cancelled", level="warning")

    def _fail(self, error: str) -> None:
        self.state.error = error
        self._end("failed")
        self._say(error, level="error")

    def _end(self, status: str) -> None:
        for command_id in list(self.state.pending):
            self._stop(command_id)
        self.state.status = status

    # ---- what the user asks

    def _take_request(self, request: Request) -> None:
        if request.number <= self.state.requests:
            return
        self.state.requests = request.number
        if isinstance(request, Pause):
            self._pause()
        elif isinstance(request, Resume):
            self._resume()
        elif isinstance(request, Extend):
            self._extend(request.trials)
        else:
            self._drop(request)

    def _pause(self) -> None:
        if self.state.status == "running":
            self.state.status = "paused"
            self._say("Paused: work under way goes back into the queue, where it waits", level="warning")

    def _resume(self) -> None:
        if self.state.status == "paused":
            self.state.status = "running"
            self._say("Resumed")
            if self.state.stage == "search":
                self._go_on()

    def _extend(self, trials: int) -> None:
        """To that many trials in all. A best candidate in its final training waits until the new ones are over."""
        before = self.settings.trials
        if trials <= before:
            return
        if self.state.status in OVER:
            if self.state.stage not in ("search", "finalise"):
                self._say(f"Not extended to {trials} trials: the run ended before its first one", level="warning")
                return
            self.state.status, self.state.error = "running", None
        self.state.settings = {**self.state.settings, "trials": trials}
        self.settings = Settings.from_dict(self.state.settings)
        self._say(f"Extended from {before} to {trials} trials")
        if self.state.stage == "finalise":
            for command_id in list(self.state.pending):
                self._stop(command_id)
            self.state.finals += 1
            self.state.stage = "search"
        if self.state.stage == "search":
            self._go_on()

    def _drop(self, request: Drop) -> None:
        number = request.trial
        if self.state.status in OVER or not 1 <= number <= len(self.state.trials):
            return
        trial = self._trial(number)
        if trial.status not in ("running", "trained"):
            return
        self._stop_commands_of(number)
        trial.status, trial.reason = "cancelled", f"dropped by the user{': ' if request.reason else ''}{request.reason}"
        if self.state.best == number:
            self.state.best = None
        self._say(f"Trial {number}: {trial.reason}", number, "warning")
        if self.state.stage == "search":
            self._go_on()
        elif not self.state.pending:
            self._finalise()

    # ---- trials

    def _go_on(self) -> None:
        """Proposes while there is room for one more candidate; when all trials are over, takes the best one to its end."""
        if self.state.status == "paused":
            return
        wanted = 1 if self.settings.architecture else self.settings.trials
        while len(self._running()) < self.settings.parallel and len(self.state.trials) < wanted:
            if not self._propose():
                break
        if not self._running():
            self.state.stage = "finalise"
            self._finalise()

    def _propose(self) -> bool:
        """Starts one more trial, unless there is none (now: running trials may bring the next phase)."""
        if self.state.phase == 1:
            if len(self.state.trials) < self._phase_one_trials() and self._propose_in(1, None):
                return True
            if self._running():
                return False
            self._begin_phase_two()
        phase = self.state.phase
        if len(self.state.trials) == self.settings.trials - 1 and not self._running() and self._all_too_slow():
            # The last trial, and nothing fits so far: the smallest candidate shows whether anything can.
            self.state.depth = None if phase == AT_ONCE else self._space.depths[0]
            choices = self._space.smallest_choices(phase, self.state.depth)
            architecture = self._space.architecture(phase, choices)
            if all(trial.name != str(architecture) for trial in self.state.trials):
                self._begin_trial(phase, choices, architecture)
                return True
        while not self._propose_in(phase, self.state.depth):
            shallower = [depth for depth in self._space.depths if self.state.depth is not None and depth < self.state.depth]
            if not shallower or self._feasible() or self._running():
                return False
            self._take_depth(shallower[-1], "no candidate left with more")
        return True

    def _propose_in(self, phase: int, depth: int | None) -> bool:
        limit_ms, screened = self.settings.latency_ms, self.settings.screened
        self._learned = True
        proposal = next_proposal(self._space, self._strategy, phase, depth, self._history, limit_ms, screened)
        if proposal is None:
            return False
        self._begin_trial(phase, proposal.choices, proposal.architecture)
        return True

    def _begin_trial(self, phase: int, choices: Sequence[int], architecture: Architecture) -> None:
        number = len(self.state.trials) + 1
        trial = TrialState(
            number,
            phase,
            fields_of_architecture(architecture),
            str(architecture),
            list(choices),
            self.state.depth if phase == 2 else None,
        )
        self.state.trials.append(trial)
        self._changed.add(number)
        self._say(f"Trial {number}: {trial.name}", number)
        size_mb, limit_mb = self._model_mb(architecture), self.settings.model_mb
        if limit_mb is not None and size_mb > limit_mb:
            trial.status = "over_limit"
            trial.reason = f"{size_mb:.1f} MB of weights are over the limit of {limit_mb:g} MB: not compiled"
            trial.reward = infeasible_reward(size_mb, limit_mb)
            self._say(f"Trial {number}: {trial.reason}", number)
            self._teach(trial)
            return
        # What is predicted is known in a moment, and may spare the others' compilation.
        for device in sorted(self.settings.limits, key=self.settings.is_predicted, reverse=True):
            kind = "measure" if self.settings.is_predicted(device) else "compile"
            self._do(kind, number, {"architecture": trial.architecture}, device)
        self._do("train", number, {"architecture": trial.architecture})

    def _begin_phase_two(self) -> None:
        """Fixes the depth: that of the most accurate candidate within the limit; if none was, fewer layers than any too slow."""
        self.state.phase = 2
        depths = self._space.depths
        feasible = self._feasible()
        if feasible:
            best = feasible[0]
            self._take_depth(len(best.architecture["ffn_sizes"]), f"trial {best.trial} is the most accurate within the limit")
            return
        too_slow = [len(trial.architecture["ffn_sizes"]) for trial in self.state.trials if trial.status == "over_limit"]
        if too_slow:
            fewer = [depth for depth in depths if depth < min(too_slow)]
            self._take_depth(fewer[-1] if fewer else depths[0], "no candidate so far is within the limit")
        else:
            self._take_depth(depths[len(depths) // 2], "no candidate so far came through")

    def _take_depth(self, depth: int, why: str) -> None:
        self.state.depth = depth
        self._say(f"Phase 2: hidden and FFN sizes at {depth} {'layer' if depth == 1 else 'layers'} ({why})")

    def _compile_ended(self, number: int, result: dict[str, Any], problem: str | None, device: str) -> None:
        trial = self._trial(number)
        if problem is not None:
            self._fail_trial(trial, f"{self._about(device)}{problem}")
            return
        if "kernels" in result:
            what = f"compiled{self._on(device)} into {result['kernels']} kernels"
            self._say(f"Trial {number}: {what} in {result['compile_s']:.1f} s", number)
        self._do("measure", number, {"architecture": trial.architecture, "folder": result.get("folder")}, device)

    def _measure_ended(self, number: int, result: dict[str, Any], problem: str | None, device: str) -> None:
        trial = self._trial(number)
        if problem is not None:
            self._fail_trial(trial, f"{self._about(device)}{problem}")
            return
        self._keep_latency(trial, device, result)
        if over := self._over(result, device):
            self._stop_commands_of(number)
            value, limit, text, unit = over
            trial.status = "over_limit"
            trial.reason = f"{text}{self._on(device)} is over the limit of {limit:g} {unit}: not trained"
            trial.reward = infeasible_reward(value, limit)
            self._say(f"Trial {number}: {trial.reason}", number)
            self._learn(trial)
        else:
            within = f"{latency_text(result)}{self._on(device)}, within the limit of {self.settings.limits[device]:g} ms"
            self._say(f"Trial {number}: {within}", number)
            self._finish_trial_if_complete(trial)

    def _train_ended(self, number: int, result: dict[str, Any], problem: str | None) -> None:
        trial = self._trial(number)
        if problem is not None:
            self._fail_trial(trial, problem)
            return
        if not math.isfinite(result["accuracy"]):
            self._fail_trial(trial, "its accuracy is not a number")
            return
        trial.accuracy = float(result["accuracy"])
        self._say(
            f"Trial {number}: {'supernet' if self.settings.accuracy == SUPERNET else 'early'} accuracy {trial.accuracy:.3f}",
            number,
        )
        self._finish_trial_if_complete(trial)

    def _finish_trial_if_complete(self, trial: TrialState) -> None:
        latency_ms = self._tightest_ms(trial)
        if latency_ms is None or trial.accuracy is None or len(trial.latencies(self.settings)) < len(self.settings.limits):
            return
        trial.status = "trained"
        trial.reward = feasible_reward(latency_ms, self.settings.latency_ms, trial.accuracy, self.state.baseline)
        self.state.baseline = next_baseline(self.state.baseline, trial.accuracy, self.settings.baseline_decay)
        self._learn(trial)

    def _fail_trial(self, trial: TrialState, problem: str) -> None:
        self._stop_commands_of(trial.trial)
        trial.status, trial.reason = "failed", problem
        self._say(f"Trial {trial.trial} failed: {problem}", trial.trial, "error")
        self._go_on()

    def _learn(self, trial: TrialState) -> None:
        self._teach(trial)
        self._go_on()

    def _teach(self, trial: TrialState) -> None:
        """Tells the strategy what a trial was worth, and the log what that has made of its policy."""
        if self.settings.architecture:
            return
        decisions, reward = self._space.decisions(trial.phase, trial.depth), trial.reward or 0.0
        self._learned = True
        outcome = Outcome(reward, trial.accuracy, self._tightest_ms(trial), self.settings.latency_ms)
        self._strategy.observe(decisions, trial.choices, outcome)
        policy = _policy_facts(self._strategy, decisions, trial.choices)
        entropy = f"; the policy's entropy is {policy['entropy']:.2f} of {policy['largest_entropy']:.2f} nats" if policy else ""
        self._say(f"Trial {trial.trial}: reward {reward:+.3f}{entropy}", trial.trial, data={"policy": policy} if policy else {})

    # ---- the best candidate

    def _finalise(self) -> None:
        """Trains the best candidate that is left to its end; without one the run has failed, and the message says why."""
        left = [trial for trial in self._feasible() if trial.trial not in self.state.rejected]
        if not left:
            self._fail(self._why_nothing_is_left())
            return
        best = left[0]
        if best.trial == self.state.best:  # of an extended run: its bundle is there
            self._end("done")
            self._say(f"Done: trial {best.trial}, {best.name}, is still the best", best.trial)
            return
        self._say(f"Best so far is trial {best.trial}, {best.name}: training it to the end", best.trial)
        self._do("final_train", best.trial, {"architecture": best.architecture})

    def _final_train_ended(self, number: int, result: dict[str, Any], problem: str | None) -> None:
        trial = self._trial(number)
        if problem is not None:
            self._reject(trial, f"final training failed: {problem}")
            return
        trial.final_accuracy = float(result["accuracy"])
        seeds = result.get("seeds", {})
        self._say(
            f"Trial {number}: final accuracy {trial.final_accuracy:.3f}{_of_seeds(seeds)}; compiling the trained model", number
        )
        payload = {"architecture": trial.architecture, "early_accuracy": trial.accuracy, "final": result}
        trial.bundles = {}
        for device in self.settings.limits:
            self._do("bundle", number, payload, device)

    def _bundle_ended(self, number: int, result: dict[str, Any], problem: str | None, device: str) -> None:
        trial = self._trial(number)
        if problem is not None:
            self._reject(trial, f"the bundle{self._on(device)} failed: {problem}")
            return
        self._keep_latency(trial, device, result["latency"])
        if over := self._over(result["latency"], device):
            _, limit, text, unit = over
            trial.status = "over_limit"
            self._reject(trial, f"with trained weights {text}{self._on(device)}, over the limit of {limit:g} {unit}")
            return
        trial.bundles = {**trial.bundles, device: result["name"]}
        if device == self.settings.device:
            trial.final_accuracy = float(result["accuracy"])  # of what ships
        if len(trial.bundles) < len(self.settings.limits):
            self._say(f"Trial {number}: {latency_text(result['latency'])}{self._on(device)}: {result['name']}", number)
            return
        self.state.best = number
        self._end("done")
        known = trial.latencies(self.settings)
        latencies = ", ".join(f"{latency_text(latency)}{self._on(device)}" for device, latency in known.items())
        files = ", ".join(trial.bundles[device] for device in known)
        self._say(f"Done: {trial.name}, {latencies}, accuracy {trial.final_accuracy:.3f}: {files}", number)

    def _reject(self, trial: TrialState, reason: str) -> None:
        self._stop_commands_of(trial.trial)
        trial.reason = reason
        self.state.rejected.append(trial.trial)
        self._say(f"Trial {trial.trial}: {reason}", trial.trial, "warning")
        self._finalise()

    def _why_nothing_is_left(self) -> str:
        rejected = [trial for trial in self.state.trials if trial.trial in self.state.rejected]
        if rejected and rejected[-1].status != "over_limit":
            return f"no candidate could be finished; the last, trial {rejected[-1].trial}: {rejected[-1].reason}"
        too_slow = [trial for trial in self.state.trials if trial.status == "over_limit"]
        if too_slow:
            nearest = max(too_slow, key=lambda trial: min(trial.reward or 0.0, -1.0))  # -L/rL
            if (self._tightest_ms(nearest) or 0.0) <= self.settings.latency_ms:
                return f"no candidate meets every limit; the nearest, {nearest.name}: {nearest.reason}"
            device = self._tightest(nearest)
            seen = f"{latency_text(nearest.latencies(self.settings)[device])}{self._on(device)}"
            return (
                f"no candidate meets {' and '.join(f'{limit:g} ms on {name}' for name, limit in self.settings.limits.items())}: "
                f"the fastest seen is {nearest.name} at {seen}; give a latency target above that, or more trials"
            )
        return f"every trial failed; the first: {self.state.trials[0].reason}"

    # ---- small things

    @cached_property
    def _space(self) -> SearchSpace:
        settings = self.settings
        teacher = architecture_of_fields(self.state.teacher or {})
        space = SearchSpace.for_teacher(teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)
        if settings.model_mb is None:
            return space
        smallest = {hidden: space.sized(hidden, (space.ffn_sizes[0],) * space.depths[0]) for hidden in space.hidden_sizes}
        sizes_mb = {hidden: self._model_mb(architecture) for hidden, architecture in smallest.items()}
        small = tuple(hidden for hidden, size_mb in sizes_mb.items() if size_mb <= settings.model_mb)
        if not small:
            raise UsageError(
                f"no candidate has weights of at most {settings.model_mb:g} MB: the smallest, {smallest[space.hidden_sizes[0]]}, has "
                f"{min(sizes_mb.values()):.1f} MB; give a limit above that, or a smaller teacher"
            )
        return replace(space, hidden_sizes=small)  # so that phase 1 does not look at a width that cannot be

    @cached_property
    def _strategy(self) -> Strategy:
        return make_strategy(self.settings.strategy, self._space.vocabulary(), self.settings.seed, self.state.strategy)

    @cached_property
    def _all_tried(self) -> History:
        return History(_tried(trial, self._tightest_ms(trial)) for trial in self.state.trials)

    @property
    def _history(self) -> History:
        for number in sorted(self._changed):
            trial = self.state.trials[number - 1]
            self._all_tried.put(_tried(trial, self._tightest_ms(trial)))
        self._changed.clear()
        return self._all_tried

    @property
    def _phases(self) -> int:
        return self.settings.phases or phases_of(self._strategy)

    def _phase_one_trials(self) -> int:
        return phase_one_trials(self.settings.trials, self.settings.phase_one_share)

    def _trial(self, number: int) -> TrialState:
        """A trial to change: the state before keeps its own."""
        self.state.trials[number - 1] = trial = replace(self.state.trials[number - 1])
        self._changed.add(number)
        return trial

    def _end_trial(self, number: int, status: str, reason: str) -> None:
        trial = self._trial(number)
        trial.status, trial.reason = status, reason

    def _running(self) -> list[TrialState]:
        """A running trial always has a command pending, of which there are few."""
        numbers = {command["trial"] for command in self.state.pending.values()} - {None}
        trials = (self.state.trials[number - 1] for number in sorted(numbers))
        return [trial for trial in trials if trial.status == "running"]

    def _feasible(self) -> list[TrialState]:
        """Trained candidates within the limit, the most accurate first, of equals the fastest."""
        trained = [trial for trial in self.state.trials if trial.status == "trained"]
        return sorted(trained, key=lambda trial: (-(trial.accuracy or 0.0), self._tightest_ms(trial)))

    def _all_too_slow(self) -> bool:
        """Whether all that were measured and came through were over the limit."""
        return not self._feasible() and any(trial.status == "over_limit" for trial in self.state.trials)

    def _model_mb(self, architecture: Architecture) -> float:
        return model_mb(architecture, self.settings.precision, self.settings.seq_len)

    def _over(self, latency: Mapping[str, Any], device: str) -> tuple[float, float, str, str] | None:
        """The limit on a device that a candidate exceeds by the largest factor: its value, the limit, the value in words, and the unit."""
        memory_mb, energy_mj = float(latency.get("peak_memory_mb") or 0.0), float(latency.get("energy_mj") or 0.0)
        costs = (
            (float(latency["latency_ms"]), self.settings.limits[device], latency_text(latency), "ms"),
            (memory_mb, self.settings.memory_mb or math.inf, f"{memory_mb:.1f} MB of memory", "MB"),
            (energy_mj, self.settings.energy_mj or math.inf, f"{energy_mj:.1f} mJ (predicted)", "mJ"),
        )
        return max((each for each in costs if each[0] > each[1]), key=lambda each: each[0] / each[1], default=None)

    def _keep_latency(self, trial: TrialState, device: str, latency: dict[str, Any]) -> None:
        if device == self.settings.device:
            trial.latency = latency
        else:
            trial.others = {**trial.others, device: latency}

    def _tightest(self, trial: TrialState) -> str:
        """The device that decides a trial's reward, of those whose latency is known."""
        known = trial.latencies(self.settings)
        return tightest({device: float(each["latency_ms"]) for device, each in known.items()}, self.settings.limits)

    def _tightest_ms(self, trial: TrialState) -> float | None:
        """Latency on the device that decides, as a share of its limit, times the first device's limit: what strategies and proposals, who
        know one limit, are told. With one device its latency. None before any is known."""
        known = trial.latencies(self.settings)
        if not known:
            return None
        device = self._tightest(trial)
        return float(known[device]["latency_ms"]) * (self.settings.latency_ms / self.settings.limits[device])

    def _on(self, device: str) -> str:
        """` on galaxy-s20` in a search with several devices; else nothing, as there is but one."""
        return f" on {device}" if self.settings.also else ""

    def _about(self, device: str) -> str:
        return f"{device}: " if self.settings.also else ""

    def _targets(self) -> str:
        return " and ".join(f"on {device} within {limit_ms:g} ms" for device, limit_ms in self.settings.limits.items())

    def _do(self, kind: str, number: int | None, payload: dict[str, Any], device: str | None = None) -> None:
        """`device`: of commands that each device has its own of; those of the first device have the plain id."""
        further = [str(device)] if device in self.settings.also else []
        again = [str(self.state.finals)] if self.state.stage == "finalise" and self.state.finals else []
        command_id = ".".join([self.state.run_id, *([] if number is None else [str(number)]), kind, *further, *again])
        where = {} if device is None else {"device": device}
        self.state.pending[command_id] = {"kind": kind, "trial": number, **where}
        self.effects.append(Do(command_id, kind, number, {**payload, **where}))

    def _stop(self, command_id: str) -> None:
        del self.state.pending[command_id]
        self.effects.append(Stop(command_id))

    def _stop_commands_of(self, number: int) -> None:
        for command_id in [each for each, command in self.state.pending.items() if command["trial"] == number]:
            self._stop(command_id)

    def _say(self, message: str, trial: int | None = None, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
        self.effects.append(Say(message, trial, level, data or {}))


def _of_seeds(seeds: Mapping[str, Mapping[str, Any]]) -> str:
    """What several seeds of the final training say of the main metric; nothing where there was one."""
    main = next(iter(seeds.values()), {})
    if main.get("deviation") is None:
        return ""
    return f" (over {main['seeds']} seeds: mean {main['mean']:.3f}, deviation {main['deviation']:.3f})"


def _policy_facts(strategy: Strategy, decisions: Sequence[Decision], choices: Sequence[int]) -> dict[str, Any]:
    """How sure the policy is by now, along the decisions of one candidate: what it would choose, given the choices before. Entropies in
    nats, the largest that of uniform choices. {} of a strategy without probabilities."""
    probabilities = strategy.probabilities(decisions, choices)
    if not probabilities:
        return {}
    return {
        "entropy": -sum(each * math.log(each) for options in probabilities for each in options if each > 0),
        "largest_entropy": sum(math.log(len(decision.options)) for decision in decisions),
        "decisions": [
            {"kind": decision.kind, "options": list(decision.options), "probabilities": options, "chosen": choice}
            for decision, options, choice in zip(decisions, probabilities, choices, strict=True)
        ],
    }


def _tried(trial: TrialState, latency_ms: float | None) -> Tried:
    return Tried(architecture_of_fields(trial.architecture), latency_ms, trial.accuracy, trial.reward)


def fields_of_architecture(architecture: Architecture) -> dict[str, Any]:
    """An architecture's fields as JSON values."""
    return {**asdict(architecture), "ffn_sizes": list(architecture.ffn_sizes)}


def architecture_of_fields(values: Mapping[str, Any]) -> Architecture:
    """The architecture whose fields, as JSON, are `values`."""
    return Architecture(**{**values, "ffn_sizes": tuple(values["ffn_sizes"])})


def latency_text(latency: Mapping[str, Any]) -> str:
    """The result of `measure` in words: `4.71 ms`, and of a predicted one how sure it is."""
    text = f"{latency['latency_ms']:.2f} ms"
    if latency["source"] != PREDICTED:
        return text
    return f"{text} (predicted; 90 % interval {latency['low_ms']:.2f} to {latency['high_ms']:.2f})"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
