"""Knowledge transfer from a teacher's layers to a student's (MobileBERT, Sun et al. 2020, section 3.2): what it compares, on one batch."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.encoder import Encoder, Features
from engine.losses import attention_transfer, feature_map_transfer
from engine.student import matched_layers
from engine.tokens import Batch

ATTENTION_WEIGHT = 0.1


@dataclass(frozen=True)
class Transfer:
    """A teacher and how a student of `matched` layers is compared with it. `projection` takes the student's hidden states to the teacher's
    hidden size; it is trained with the student."""

    teacher: Encoder
    projection: nn.Module
    matched: tuple[int, ...]  # for each student layer the teacher layer (from 1) whose output it learns
    losses: tuple[str, ...]  # of "hidden" and "attention"

    @classmethod
    def between(cls, teacher: Encoder, student: Encoder, projection: nn.Linear | None, losses: tuple[str, ...]) -> "Transfer":
        matched = tuple(matched_layers(student.architecture.layers, teacher.architecture.layers))
        return cls(teacher, projection if projection is not None else nn.Identity(), matched, losses)

    def loss(self, ours: Features, batch: Batch, layers: Iterable[int] | None = None) -> Tensor:
        """Sum over the student's layers, or over those given (from 0), of what the losses say."""
        with torch.no_grad():
            theirs = self.teacher.features(*batch)
        mask, total = batch.attention_mask, torch.zeros((), device=batch.input_ids.device)
        for layer in range(len(self.matched)) if layers is None else layers:
            matched = self.matched[layer]
            if "hidden" in self.losses:
                hidden = self.projection(ours.hidden[layer + 1])
                total = total + feature_map_transfer(hidden.float(), theirs.hidden[matched].float(), mask)
            if "attention" in self.losses:
                total = total + ATTENTION_WEIGHT * attention_transfer(ours.heads[layer], theirs.heads[matched - 1], mask)
        return total

    def to(self, device: torch.device) -> None:
        self.teacher.to(device)
        self.projection.to(device)
