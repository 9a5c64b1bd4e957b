"""Made-up worlds for the search: each answers commands at once, from a formula. The state machine does not know the difference."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.architecture import PRESETS, Architecture
from engine.search import (
    Cancel,
    Do,
    Event,
    Finished,
    Say,
    SearchState,
    Start,
    Stop,
    architecture_of_fields,
    fields_of_architecture,
    initial_state,
    step,
)
from engine.settings import Settings

TEACHER = PRESETS["minilm-l6"]
COMPILED = 0.019  # how much more accurate than at the early stage a compiled model is; before it was compiled, 0.02


def at_least_as_large(candidate: Architecture, other: Architecture) -> bool:
    """Whether `candidate` cannot be faster than `other`: no dimension is smaller, whatever the order of the layers.

    The multiply-accumulates are compared too, as a hidden size below the embedding's costs a projection.
    """
    ours, theirs = (sorted(each.ffn_sizes, reverse=True) for each in (candidate, other))
    return (
        len(ours) >= len(theirs)
        and candidate.hidden_size >= other.hidden_size
        and all(mine >= yours for mine, yours in zip(ours, theirs, strict=False))
        and candidate.mult_adds() >= other.mult_adds()
    )


def latency_ms(architecture: Architecture) -> float:
    return 0.12 * architecture.layers + architecture.mult_adds() / 1e9 * 8.0


def accuracy(architecture: Architecture) -> float:
    width, ffn = architecture.hidden_size / 384, sum(architecture.ffn_sizes) / architecture.layers / 1536
    return 0.3 + 0.35 * (1 - math.exp(-architecture.layers / 2)) + 0.2 * width + 0.1 * ffn**0.5


@dataclass
class World:
    """Carries commands out by formula, oldest first, unless `pick` chooses another order."""

    latency_ms: Callable[[Architecture], float] = latency_ms
    accuracy: Callable[[Architecture], float] = accuracy
    failing: Callable[[Do], str | None] = lambda command: None
    bundle_ms: Callable[[Architecture], float] | None = None
    slower: dict[str, float] = field(default_factory=dict)  # how many times, by device
    seeds: dict[str, Any] = field(default_factory=dict)  # of the final training
    queue: list[Do] = field(default_factory=list)
    seen: list[Do] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)  # as the log has them

    def answer(self, command: Do) -> Finished:
        if error := self.failing(command):
            return Finished(command.command_id, "failed", error=error)
        if command.kind == "prepare":
            return Finished(command.command_id, "done", {"teacher": fields_of_architecture(TEACHER)})
        architecture = architecture_of_fields(command.payload["architecture"])
        factor = self.slower.get(command.payload.get("device", ""), 1.0)
        ends = {"p10_ms": 1.0, "p90_ms": 9.0}
        latency = {"latency_ms": factor * self.latency_ms(architecture), **ends, "source": "measured"}
        results = {
            "compile": lambda: {"folder": "built", "kernels": 5, "compile_s": 1.0},
            "measure": lambda: latency,
            "train": lambda: {"accuracy": self.accuracy(architecture)},
            "final_train": lambda: {"accuracy": self.accuracy(architecture) + 0.02, "metrics": {}, "seeds": self.seeds},
            "bundle": lambda: {
                "latency": {**latency, "latency_ms": factor * (self.bundle_ms or self.latency_ms)(architecture)},
                "name": f"{command.payload['device']}.zip",
                "accuracy": self.accuracy(architecture) + COMPILED,
            },
        }
        return Finished(command.command_id, "done", results[command.kind]())

    def feed(self, state: SearchState, event: Event) -> SearchState:
        state, effects = step(state, event)
        for effect in effects:
            if isinstance(effect, Do):
                self.queue.append(effect)
                self.seen.append(effect)
            elif isinstance(effect, Stop):
                self.queue = [command for command in self.queue if command.command_id != effect.command_id]
            elif isinstance(effect, Say):
                self.said.append(effect.message)
                self.policies += [effect.data["policy"]] if "policy" in effect.data else []
        return state

    def run(
        self,
        settings: Settings,
        pick: Callable[[int], int] = lambda count: 0,
        cancel_after: int | None = None,
        each: Callable[[SearchState], SearchState] = lambda state: state,
    ) -> SearchState:
        state = self.feed(initial_state("r", settings), Start())
        steps = 0
        while self.queue:
            if steps == cancel_after:
                return self.feed(state, Cancel())
            event = self.answer(self.queue.pop(pick(len(self.queue))))
            state = each(self.feed(state, event))
            steps += 1
        return state
