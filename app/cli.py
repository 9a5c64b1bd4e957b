"""The `pocketformer` command. Parsing only: each subcommand lives in `app.commands` and is imported when it is called."""

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence

from data.errors import PocketformerError
from engine.threads import sleep_when_idle

WRONG_USE = 2
FAILED = 1
INTERRUPTED = 130
PRECISION_HELP = (
    "fp32; fp16: matmuls on 16-bit floats, for Arm; int8: dense layers on 8-bit integers, scaled by output channel and by token"
)
CALIBRATE_HELP = (
    "columns: architecture (written, or a preset), or its sizes as layers, hidden, heads, intermediate; total_ms (also latency_ms or ms); and "
    "where they differ from the defaults seq_len (128 tokens), batch (1), threads (one a core), cluster (big, little, all or gpu; big: all "
    "cores but the slowest cluster's), precision (fp32), fusion (what --fusion says). Other columns are passed over"
)


def parser() -> argparse.ArgumentParser:
    """The whole command line; `pocketformer --help` imports nothing heavier than argparse."""
    root = argparse.ArgumentParser(prog="pocketformer", description="Find the transformer that fits a phone.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    search = _add(commands, "search", "search architectures for a task, a device and a latency target")
    search.add_argument(
        "--task",
        help="a GLUE task, a generated task, or a CSV/Parquet file as FILE?text=COLUMN&label=COLUMN; several for one model, with commas",
    )
    search.add_argument("--device", help="what the model is for; `pocketformer devices` lists them (host: this machine)")
    search.add_argument(
        "--latency", help="measured or predicted; without it, measured where the device is at hand, else predicted"
    )
    search.add_argument("--latency-ms", type=float, metavar="MS", help="required latency, batch 1")
    search.add_argument(
        "--also",
        type=_target,
        action="append",
        metavar="DEVICE=MS",
        help="a further device with its own latency target, to be met as well: galaxy-s20=40; may be given several times",
    )
    search.add_argument(
        "--model-mb", type=float, metavar="MB", help="limit of the weights in a bundle; checked before anything is compiled"
    )
    search.add_argument("--memory-mb", type=float, metavar="MB", help="limit of peak memory, where it is measured")
    search.add_argument(
        "--energy-mj", type=float, metavar="MJ", help="limit of energy in millijoules, where the device's power is known"
    )
    search.add_argument("--teacher", help="minilm, a Hugging Face folder, or a hub id")
    search.add_argument("--text", metavar="FILES", help="unlabelled text to distil on: a file (.txt, .gz) or a folder")
    search.add_argument("--trials", type=int, help="candidates to try")
    search.add_argument(
        "--strategy", help="who proposes: bayes, reinforce, random, tpe, nsga2, evolution, or another package's"
    )
    search.add_argument(
        "--phases", type=int, metavar="N", help="2: layers first, then sizes; 1: all at once; 0: as the strategy does"
    )
    search.add_argument("--seed", type=int, help="equal seeds give equal proposals")
    search.add_argument("--seq-len", type=int, metavar="TOKENS", help="sequence length of latency and of the compiled model")
    search.add_argument("--precision", help=PRECISION_HELP)
    search.add_argument("--threads", type=int, help="threads of the compiled model")
    search.add_argument("--phase-one-share", type=float, metavar="P", help="of the trials, which look for the number of layers")
    search.add_argument("--baseline-decay", type=float, metavar="P", help="weight of the past in the baseline of the reward")
    search.add_argument(
        "--accuracy",
        help="of candidates: trained, each for itself, or supernet, read in seconds off networks that share their weights",
    )
    search.add_argument("--early-epochs", type=int, metavar="N", help="epochs behind a candidate's early-stage accuracy")
    search.add_argument("--final-epochs", type=int, metavar="N", help="epochs of the best candidate's full training")
    search.add_argument(
        "--final-seeds", type=int, metavar="N", help="seeds of that training, for mean and deviation of its accuracy"
    )
    search.add_argument("--distil-tokens", type=int, metavar="N", help="text that each shared body is distilled on")
    search.add_argument("--distil-seconds", type=int, metavar="S", help="time for that at most; 0: no distillation")
    for name, example in (("depths", "2,3,4"), ("hidden-sizes", "256,384"), ("ffn-sizes", "384,768")):
        search.add_argument(f"--{name}", type=_sizes, metavar=example, help=f"the search space's {name.replace('-', ' ')}")
    search.add_argument("--losses", type=_names, metavar="NAMES", help="of distillation: logits,hidden,attention; '' for none")
    search.add_argument(
        "--logits-teacher",
        metavar="MODEL",
        help="whose answers students learn in place of the teacher's: any text classifier in safetensors form, a folder or a hub id",
    )
    search.add_argument("--schedule", help="of distillation: joint, progressive (layer by layer), auxiliary (beside the task)")
    search.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was interrupted or paused; with --trials, to that many in all"
    )
    search.add_argument("-o", "--output", metavar="FILE", help="also write the bundle here")

    show = _add(commands, "show", "layers, parameters, FLOPs and bytes of a model")
    show.add_argument(
        "model",
        metavar="MODEL",
        help="a preset, an architecture like L6-H384-A12-F1536, a Hugging Face folder, or an .onnx file",
    )
    _add_axes(show)

    fuse = _add(commands, "fuse", "what LP-Fusion does to a model: layers before, kernels after, every block and its reason")
    fuse.add_argument("model", metavar="MODEL")
    fuse.add_argument("--measure", action="store_true", help="also compile it both ways and time them in turns on this machine")
    _add_fusion(fuse)
    _add_axes(fuse)

    compile_ = _add(commands, "compile", "compile a model into a bundle")
    compile_.add_argument("model", metavar="MODEL")
    _add_build_options(
        compile_,
        "sequence lengths over one copy of the weights, 24,48,80,128 unless given; a sentence takes the shortest that it fits",
    )
    compile_.add_argument("--gpu", action="store_true", help="also OpenCL code for the device's GPU, in fp32 and fp16")
    compile_.add_argument(
        "--tune",
        action="store_true",
        help="try each kernel's tiles on the connected phone; takes minutes, once a kernel and kind of phone",
    )
    compile_.add_argument("-o", "--output", required=True, metavar="FILE", help="the bundle to write")

    aar = _add(commands, "aar", "a phone's bundle as one file for an Android app, called from Java or Kotlin")
    aar.add_argument("bundle", metavar="BUNDLE")
    aar.add_argument("-o", "--output", required=True, metavar="FILE", help="the .aar to write")

    export = _add(commands, "export", "a run's trained model in another form than its bundle")
    export.add_argument("run_id", metavar="RUN")
    export.add_argument("--trial", type=int, help="of several with a bundle; without it, the newest")
    export.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="by its name: .safetensors, .onnx, .tflite (LiteRT), .zip (for this machine)",
    )

    teacher = _add(commands, "teacher", "a teacher fine-tuned on a task, and its score; kept for all later runs")
    teacher.add_argument("--task", required=True, help="as of search")
    teacher.add_argument("--teacher", default="minilm", help="minilm, a Hugging Face folder, or a hub id")
    teacher.add_argument("--seq-len", type=int, default=128, metavar="TOKENS")
    teacher.add_argument("--seed", type=int, default=0)

    run = _add(commands, "run", "the compiled model's answer")
    run.add_argument("bundle", metavar="BUNDLE")
    run.add_argument("--text", help="a sentence")
    run.add_argument("--pair", help="a second sentence, for tasks on pairs")
    run.add_argument(
        "--inputs", metavar="X.npz", help="token ids instead of text: input_ids, token_type_ids, attention_mask [n, S]"
    )
    run.add_argument("--outputs", metavar="Y.npz", help="where the answers to --inputs go, as `outputs` [n, N]")
    run.add_argument("--threads", type=int)

    bench = _add(commands, "bench", "latency of a model or bundle, beside other runtimes")
    bench.add_argument("model", metavar="MODEL|BUNDLE")
    _add_build_options(bench, "sequence lengths to time: of a model 128 unless given, of a bundle all that it has")
    bench.add_argument("--profile", action="store_true", help="also the time of each kernel, within whole inferences")
    bench.add_argument("--runs", type=int, help="of each runtime; without it, as many as six seconds take, at least 300")
    bench.add_argument(
        "--against",
        default="",
        metavar="NAMES",
        help="peers timed on the same model in the same run: onnxruntime, openvino, litert, torch, torch-eager, executorch; on 8-bit "
        "integers: onnxruntime-int8, openvino-int8",
    )

    predict = _add(commands, "predict", "latency of a model on a device that is not here, with an interval")
    predict.add_argument("model", metavar="MODEL|ARCHITECTURES.csv", help="a model, or a file with a column architecture")
    predict.add_argument("--device", default="host", help="`pocketformer devices` lists them")
    predict.add_argument("--precision", default="fp32", help="fp32, fp16 or int8")
    predict.add_argument("--seq-len", type=int, default=128, metavar="TOKENS")
    predict.add_argument(
        "--threads", type=int, help="on the fastest cores; without it, one on each core but the slowest cluster's"
    )
    predict.add_argument("--cluster", help="big (the default), little or all cores")
    predict.add_argument("--gpu", action="store_true", help="of the device's GPU")
    _add_fusion(predict)

    calibrate = _add(commands, "calibrate", "fit predictions for a device to latencies measured on it")
    calibrate.add_argument("--device", required=True)
    source = calibrate.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="MEASURED.csv", help=CALIBRATE_HELP)
    source.add_argument("--budget", type=int, metavar="N", help="compile and measure N architectures now")
    calibrate.add_argument("--threads", type=int, help="of what --budget measures")
    _add_fusion(calibrate)

    trials = _add(commands, "trials", "the trials of a run")
    trials.add_argument("run_id", metavar="RUN", nargs="?", help="a run; without one, the newest")
    trials.add_argument("--pareto", action="store_true", help="only those that no other beats in accuracy and latency both")
    trials.add_argument("--device", metavar="D", help="latency on that device of the run; without it, on its first")
    trials.add_argument("--csv", metavar="FILE", help="write them as CSV")

    runs = _add(commands, "runs", "the newest runs; and pause, resume, extend, cancel or remove one, or drop a candidate of it")
    runs.add_argument(
        "action", nargs="?", default="list", choices=("list", "pause", "resume", "extend", "cancel", "drop", "remove")
    )
    runs.add_argument("run_id", metavar="RUN", nargs="?", help="a run; without one, the newest")
    runs.add_argument("--trials", type=int, help="extend: how many trials in all")
    runs.add_argument("--trial", type=int, help="drop: the candidate's number")
    runs.add_argument("--reason", default="", help="drop: why; the table of trials shows it")

    devices = _add(commands, "devices", "the phones and boards that models can be compiled for")
    devices.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=("list", "check", "add"),
        help="list; check NAME: is it connected and fit to be timed; add FILE: one of your own",
    )
    devices.add_argument(
        "which", nargs="?", metavar="NAME|FILE", help="a device; or a TOML file, named as the device is to be called"
    )

    _add(commands, "doctor", "what is missing on this machine, and how to mend it")

    serve = commands.add_parser("serve", help="broker, store, workers and web page, in the foreground")
    serve.add_argument("--port", type=int, default=8501)
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; anything but loopback shows the page to the network"
    )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 failed, 2 wrong use; an error is one line on standard error."""
    args = parser().parse_args(argv)
    logging.basicConfig(
        level=os.environ.get("POCKETFORMER_LOG", "WARNING"), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sleep_when_idle()
    try:
        command = importlib.import_module(f"app.commands.{args.command}")
        result = command.run(args)
        if getattr(args, "json", False):
            print(json.dumps(result))
        elif result is not None:
            print(command.render(result))
        sys.stdout.flush()
    except PocketformerError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        return _fail(
            f"unexpected {type(error).__name__}: {error}; run again with POCKETFORMER_LOG=DEBUG and report the trace", FAILED
        )
    return 0


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def _lengths(text: str) -> tuple[int, ...]:
    """Tokens, ascending."""
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' are no lengths in tokens; write 128, or 32,64,128")
    return tuple(sorted({int(word) for word in words}))


def _target(text: str) -> tuple[str, float]:
    """A device and its latency target in ms."""
    device, _, limit_ms = text.rpartition("=")
    try:
        return device, float(limit_ms)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no device with a latency target; write galaxy-s20=40") from None


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _fail(message: str, status: int) -> int:
    print(f"pocketformer: {' '.join(message.split())}", file=sys.stderr)
    return status


def _add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.add_argument("--json", action="store_true", help="print one JSON object on standard output, nothing else")
    return command


def _add_build_options(command: argparse.ArgumentParser, seq_len_help: str) -> None:
    command.add_argument(
        "--device", default="host", help="host: this machine; `pocketformer devices` lists the others; NAME@SERIAL: that phone"
    )
    command.add_argument("--precision", default="fp32", help=PRECISION_HELP)
    command.add_argument("--seq-len", type=_lengths, metavar="TOKENS", help=seq_len_help)
    command.add_argument("--threads", type=int)
    _add_batch(command)
    _add_fusion(command)


def _add_fusion(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fusion", default="lp", help="lp: LP-Fusion; none: a kernel for every layer of computation, on the same schedules"
    )


def _add_axes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seq-len", type=int, default=128, metavar="TOKENS", help="what a sequence axis is fixed to")
    _add_batch(command)


def _add_batch(command: argparse.ArgumentParser) -> None:
    command.add_argument("--batch", type=int, default=1, metavar="N", help="what a batch axis is fixed to: 1")


if __name__ == "__main__":
    sys.exit(main())
