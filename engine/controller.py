"""The search's policy: an LSTM that writes a candidate one decision at a time, trained by REINFORCE (CANAO section 3.3).

Each step feeds the option chosen before; a linear head for each kind of decision (depth, hidden, ffn) gives the next option's
probabilities. After a reward R the gradient of `R * log P(a_1..T)` is followed (Zoph & Le 2016, as CANAO's last equation); the
baseline is inside R. All state is JSON, and sampling depends on nothing but seed and count: any process may take the next step.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.space import Decision
from engine.strategies import Outcome

WIDTH = 16  # of the LSTM: a handful of decisions needs no more, and its state is stored at every step
LEARNING_RATE = 0.06  # 8 to 100 rewards must be able to move the policy
LARGEST_GRADIENT = 5.0  # L2 norm; a reward of -20 for a candidate 20 times too slow must not undo all others


Chooser = Callable[[int, Tensor], int]  # (step, log-probabilities (options,)) -> the index of an option


class Policy(nn.Module):
    """An LSTM over decisions, one embedding and one head for each kind. Sizes: `options[kind]` choices for each kind."""

    def __init__(self, options: Mapping[str, int]) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, WIDTH))
        self.cell = nn.LSTMCell(WIDTH, WIDTH)
        self.embeddings = nn.ModuleDict({kind: nn.Embedding(count, WIDTH) for kind, count in options.items()})
        self.heads = nn.ModuleDict({kind: nn.Linear(WIDTH, count) for kind, count in options.items()})
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)  # near-uniform choices at first

    def walk(self, decisions: Sequence[Decision], choose: Chooser) -> tuple[list[int], list[Tensor]]:
        """Takes each decision with `choose`; the choices, and all steps' log-probabilities."""
        fed, memory = self.start, None
        choices: list[int] = []
        steps: list[Tensor] = []
        for step, decision in enumerate(decisions):
            memory = self.cell(fed, memory)
            steps.append(torch.log_softmax(self.heads[decision.kind](memory[0])[0], dim=-1))  # (options,)
            choices.append(choose(step, steps[-1]))
            fed = self.embeddings[decision.kind](torch.tensor([choices[-1]]))  # (1, WIDTH)
        return choices, steps


class Controller:
    """The `reinforce` strategy (`engine.strategies.Strategy`)."""

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options)
        self._seed = seed
        self._draws = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(seed, "weights"))
            self._policy = Policy(options)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=LEARNING_RATE)
        if state is not None:
            self._restore(state)

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        """Samples the index of an option for each decision."""
        generator = torch.Generator().manual_seed(_seed_of(self._seed, self._draws))
        self._draws += 1
        with torch.no_grad():
            choices, _ = self._policy.walk(decisions, lambda _, each: int(each.exp().multinomial(1, generator=generator)))
        return tuple(choices)

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        """One REINFORCE step: follows the gradient of reward * log P(choices)."""
        _, steps = self._policy.walk(decisions, lambda step, _: choices[step])
        likelihood = torch.stack([step[choice] for step, choice in zip(steps, choices, strict=True)]).sum()
        self._optimizer.zero_grad()
        (-outcome.reward * likelihood).backward()
        nn.utils.clip_grad_norm_(self._policy.parameters(), LARGEST_GRADIENT)
        self._optimizer.step()

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """For each decision the probability of each option, given the `choices` before it."""
        with torch.no_grad():
            _, steps = self._policy.walk(decisions, lambda step, _: choices[step])
        return [step.exp().tolist() for step in steps]

    def to_state(self) -> dict[str, Any]:
        """Weights, Adam's moments and the count of samples, as JSON values."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "draws": self._draws,
            "weights": {name: _packed(value) for name, value in self._policy.state_dict().items()},
            "adam": {str(index): {name: _packed(value) for name, value in each.items()} for index, each in moments.items()},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._draws = state["draws"]
        shapes = self._policy.state_dict()
        self._policy.load_state_dict({name: _unpacked(text, shapes[name].shape) for name, text in state["weights"].items()})
        parameters = list(self._policy.parameters())
        groups = self._optimizer.state_dict()["param_groups"]
        moments: dict[int, dict[str, Tensor]] = {}
        for index, each in state["adam"].items():
            shape = tuple(parameters[int(index)].shape)
            moments[int(index)] = {name: _unpacked(text, () if name == "step" else shape) for name, text in each.items()}
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _seed_of(seed: int, purpose: str | int) -> int:
    """An independent 63-bit seed for each purpose of one search's seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1


def _packed(tensor: Tensor) -> str:
    return base64.b64encode(tensor.detach().to(torch.float32).numpy().tobytes()).decode("ascii")


def _unpacked(text: str, shape: Sequence[int]) -> Tensor:
    values = np.frombuffer(base64.b64decode(text), dtype=np.float32)
    return torch.from_numpy(values.copy()).reshape(tuple(shape))
