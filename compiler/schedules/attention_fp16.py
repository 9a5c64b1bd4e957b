"""`attention` on float16, softmax too where the processor has arithmetic on it: an error of a score of d below the row's highest counts e^-d
times, and the weights that come out, at most 1, are rounded as much. Rows' sums are inverted in float32."""

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
