"""`attention` on float16. Scores get their mask, and softmax is taken, in float32; the weights that come out are at most 1."""

from dataclasses import dataclass
from typing import ClassVar

from compiler.isa import Isa
from compiler.schedules import attention as fp32
from compiler.schedules.linear_fp16 import half_lanes


@dataclass(frozen=True)
class AttentionFp16(fp32.Attention):
    kind: ClassVar[str] = "attention_fp16"
    dtype: ClassVar[str] = "float16"

    def lanes(self, isa: Isa) -> int:
        return half_lanes(isa)

    def summed(self, isa: Isa) -> str:
        return "float16" if isa.half else "float32"
