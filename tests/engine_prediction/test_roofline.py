"""The roofline: what takes longer, and by how much; machines from the catalogue."""

from dataclasses import replace

import pytest

from compiler.work import Work
from data.errors import UsageError
from engine.architecture import PRESETS, Architecture
from engine.prediction.calibration import expected
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import Machine, machine_of
from engine.prediction.roofline import Parameters, cases_of, latencies_ms

PARAMETERS = Parameters(0.5, 0.5, 0.25, 10.0, 0.5, 0.25, 0.0, 0.0, 100.0)
MACHINE = Machine("big", 10.0, 1.0, 5.0, 8.0, 16.0, 1 << 20, 1)


def took(works: list[Work], machine: Machine = MACHINE, parameters: Parameters = PARAMETERS) -> float:
    return float(latencies_ms(parameters, cases_of([(works, machine)]))[0])


def predicted(model: Architecture, device: str = "galaxy-s20", threads: int | None = None, precision: str = "fp32") -> float:
    machine = machine_of(device, threads, precision)
    return took(list(kernels_of(model, 128, "lp", precision)), machine, expected(machine.target)[0])


@pytest.mark.parametrize(
    ("work", "ms"),
    [
        (Work("linear", flops=5_000_000), 1.0),  # at half of 10 GFLOP/s
        (Work("attention", flops=5_000_000), 2.0),
        (Work("linear", flops=5_000_000, functions=1_000_000), 3.0),  # ten cycles for each of 5 10^9 a second
        (Work("elementwise", activation_bytes=1_000_000), 0.25),  # from cache: a quarter of 16 GB/s
        (Work("elementwise", activation_bytes=4_000_000), 1.0),  # from memory: half of 8 GB/s
        (Work("linear", flops=5_000_000, activation_bytes=8_000_000), 2.0),  # memory takes longer than arithmetic
        (Work("linear", weight_bytes=8_000_000), 2.0),
    ],
)
def test_the_longer_of_arithmetic_and_traffic_and_a_calls_cost(work, ms):
    assert took([work]) == pytest.approx(ms + 0.1)


def test_weights_stay_cached_only_where_all_of_a_models_fit():
    layer = Work("linear", weight_bytes=1 << 19)
    assert took([layer]) == pytest.approx(0.1 + (1 << 19) / 4e6)
    assert took([layer] * 4) == pytest.approx(0.4 + 4 * (1 << 19) / 4e6)  # 0.5 x 8 GB/s: the same rate, here
    slower = replace(PARAMETERS, memory=0.25)
    assert took([layer] * 4, parameters=slower) > 1.5 * took([layer] * 4)
    assert took([layer], parameters=slower) == took([layer])


def test_what_one_thread_does_alone_is_not_shared_out():
    work = [Work("linear", flops=50_000_000)]
    four = replace(MACHINE, speedup=4.0)
    assert took(work, four) == pytest.approx(0.1 + 10 / 4)
    assert took(work, four, replace(PARAMETERS, serial=0.2)) == pytest.approx(0.1 + 10 * (0.2 + 0.8 / 4))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    ("smaller", "larger"), [("L4-H256-A4-F1024", "L5-H256-A4-F1024"), ("L4-H256-A4-F1024", "L4-H320-A5-F1024")]
)
def test_more_to_do_takes_longer(smaller, larger, precision):
    assert predicted(Architecture.parse(smaller), precision=precision) < predicted(
        Architecture.parse(larger), precision=precision
    )


def test_more_threads_take_less_and_so_does_a_higher_clock(tmp_path, fresh_home):
    from compiler.devices import CATALOGUE, add_device

    model = PRESETS["bert-base"]
    times = [predicted(model, threads=count) for count in (1, 2, 3, 4)]
    assert times == sorted(times, reverse=True)
    assert times[3] < times[0] / 2
    faster = tmp_path / "faster.toml"
    faster.write_text((CATALOGUE / "galaxy-s20.toml").read_text().replace("mhz = 2840", "mhz = 3200"))
    add_device(faster)
    assert predicted(model, "faster", 1) < predicted(model, threads=1)


def test_int8_is_faster_where_there_are_dot_products():
    model = PRESETS["minilm-l6"]
    assert predicted(model, precision="int8") < 0.6 * predicted(model)
    assert machine_of("hikey-970", 1, "int8").one_gflops == machine_of("hikey-970", 1, "fp32").one_gflops


def test_threads_take_the_fastest_cores():
    one, four, eight = (machine_of("galaxy-s20", count) for count in (1, 4, 8))
    assert (one.target, four.target, eight.target) == ("big", "big", "all")
    assert one.one_gflops == pytest.approx(2.84 * 16)
    assert four.speedup == pytest.approx((2.84 + 3 * 2.42) / 2.84)
    assert eight.speedup == pytest.approx((2.84 * 16 + 3 * 2.42 * 16 + 4 * 1.8 * 8) / (2.84 * 16))
    assert machine_of("galaxy-s20", target="little").one_gflops == pytest.approx(1.8 * 8)
    assert one.cache_bytes == (512 + 4096) << 10


def test_a_gpu_has_the_catalogues_arithmetic_twice_in_fp16():
    assert machine_of("galaxy-s20", precision="fp16", target="gpu").one_gflops == 2404.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("galaxy-s20", 9), "galaxy-s20 has 8 cores for 'all'; give at most that many threads, not 9"),
        (("galaxy-s20", 5, "fp32", "little"), "galaxy-s20 has 4 cores for 'little'"),
        (("galaxy-s20", 0), "threads is 0; give 1 or more"),
        (("galaxy-s20", 1, "fp64"), "unknown precision 'fp64'; take fp32, fp16, int8"),
        (("galaxy-s20", 1, "fp32", "huge"), "unknown cluster 'huge'; take big, little, all, gpu"),
        (("raspberry-pi-5", None, "fp32", "gpu"), "raspberry-pi-5 has no GPU"),
        (("toaster",), "unknown device 'toaster'"),
        (("host", 1, "fp32", "gpu"), "this machine has no cluster 'gpu'"),
    ],
)
def test_machines_that_are_not_there(arguments, message):
    with pytest.raises(UsageError, match=message):
        machine_of(*arguments)
