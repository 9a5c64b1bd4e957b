"""Optuna's studies behind our protocol: what its TPE and NSGA-II share.

A study is made of what was observed, and then kept and added to; the state is the list of observations, so that any process may go on.
Optuna draws with a sampler of a new seed each time. What is asked for and not tried stays in a study as failed, which no sampler looks at;
once these are many the study is made anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from engine.space import Decision

LARGEST_SHARE_ASKED = 4  # of proposals to observations in a study
LEAST_ASKED = 100  # before it is made anew


class Studies:
    """One study for each list of kinds of decisions.

    Args:
        seen: the observations, to which `observe` adds. kinds, choices; values, one for each direction; attributes, as Optuna noted them.
    """

    def __init__(self, directions: Sequence[Literal["maximize", "minimize"]], seen: list[dict[str, Any]]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._directions = directions
        self._seen: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        self._studies: dict[tuple[str, ...], optuna.Study] = {}
        self._asked: dict[tuple[str, ...], int] = {}
        self._told: dict[tuple[str, ...], int] = {}
        for each in seen:
            self.observe(each)

    def observe(self, seen: dict[str, Any]) -> None:
        self._seen.setdefault(tuple(seen["kinds"]), []).append(seen)

    def propose(self, decisions: Sequence[Decision], sampler: optuna.samplers.BaseSampler) -> FrozenTrial:
        """The choices that the sampler draws, as parameters in the decisions' order, and what Optuna notes about them."""
        key, space = tuple(kinds(decisions)), distributions(decisions)
        study = self._caught_up(key, space)
        study.sampler = sampler
        asked = study.ask(space)
        drawn = study.get_trials(deepcopy=False)[-1]
        study.tell(asked, state=TrialState.FAIL)
        self._asked[key] += 1
        return drawn

    def _caught_up(self, key: tuple[str, ...], space: Mapping[str, BaseDistribution]) -> optuna.Study:
        seen = self._seen.setdefault(key, [])
        if key not in self._studies or self._asked[key] > max(LEAST_ASKED, LARGEST_SHARE_ASKED * len(seen)):
            self._studies[key] = optuna.create_study(directions=self._directions)
            self._asked[key] = self._told[key] = 0
        study = self._studies[key]
        for each in seen[self._told[key] :]:
            params = dict(zip(space, each["choices"], strict=True))
            study.add_trial(
                create_trial(params=params, distributions=dict(space), values=each["values"], system_attrs=each["attributes"])
            )
        self._told[key] = len(seen)
        return study


def kinds(decisions: Sequence[Decision]) -> list[str]:
    return [decision.kind for decision in decisions]


def distributions(decisions: Sequence[Decision]) -> dict[str, BaseDistribution]:
    """The index of each decision's option; options ascend, so the sampler may use their order."""
    return {f"{place}-{each.kind}": IntDistribution(0, len(each.options) - 1) for place, each in enumerate(decisions)}
