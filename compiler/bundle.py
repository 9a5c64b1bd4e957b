"""The file a user ships: one zip with the compiled model, its weights, tokenizer, C header, `bench` program and description.

Two bundles of the same inputs are equal byte for byte.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from compiler.archive import write_archive
from compiler.isa import cores
from compiler.model_card import CARD, model_card
from compiler.tokenizer_table import WORD_PIECE, table_of
from data.errors import CompileError, ModelError
from data.home import subfolder

FORMAT = 2  # 1: one sequence length, `pf_run` takes padded sentences
READ_FORMATS = (1, FORMAT)
LIBRARY = "libpocketformer.so"
CHECKSUMS = "SHA256SUMS"
TOKENIZER = "tokenizer/tokenizer.json"
TOKENIZER_TABLE = "tokenizer/tokenizer.bin"
_COMPILED = {
    "model.so": LIBRARY,
    "bench": "bench",
    "weights.bin": "weights.bin",
    "plan.json": "plan.json",
    "pocketformer.h": "pocketformer.h",
}
_OPTIONAL = {"bench-gpu": "bench-gpu"}
PHONE_FOLDER = "/data/local/tmp/pocketformer"
_EXECUTABLE = {LIBRARY, "bench", *_OPTIONAL}


@dataclass(frozen=True)
class Bundle:
    """An unpacked, verified bundle: `folder` holds `model.so`, `bench`, `weights.bin` and `tokenizer/`."""

    folder: Path
    model: dict

    @property
    def threads(self) -> int:
        """Those that its latency was measured with; this machine's cores where it was not."""
        latency = self.model.get("latency")
        return latency["threads"] if latency else cores()

    @property
    def seq_len(self) -> int:
        """The most tokens that a sentence may have."""
        return self.model["seq_len"]

    @property
    def seq_lens(self) -> tuple[int, ...]:
        """The compiled sequence lengths, ascending."""
        return tuple(self.model.get("seq_lens", (self.seq_len,)))


def file_name(task: str, architecture: str, device: str, latency_ms: float, source: str = "measured") -> str:
    """`pocketformer-<task>-<architecture>-<device>@<latency>ms.zip`, with characters that every file system takes. Before `.zip` stands where
    the latency is from, if it was not measured."""
    name = f"pocketformer-{task}-{architecture}-{device}@{latency_ms:.2f}ms{'' if source == 'measured' else f'-{source}'}.zip"
    return "".join(c if c.isalnum() or c in "-_.@" else "_" for c in name)


def write_bundle(built_folder: Path, out_path: Path, model_json: dict, tokenizer_json: str) -> Path:
    """Pack a compiled model. The file appears whole or not at all.

    Args:
        built_folder: what `compiler.build.build` made.
        out_path: where the zip goes; its folder is made.
        model_json: architecture, task, device, precision, seq_len (the longest) and seq_lens, latency with source (of the longest) and
            latency_by_length, accuracy, fusion summary; for the model card how it was trained.
        tokenizer_json: the tokenizer in Hugging Face's `tokenizer.json` form.

    Raises:
        PocketformerError: the disk is full or the place is not writable.
    """
    description = {"format": FORMAT, **model_json}
    members = {member: built_folder / name for name, member in _COMPILED.items()}
    members |= {member: built_folder / name for name, member in _OPTIONAL.items() if (built_folder / name).exists()}
    table = _table(tokenizer_json)
    contents = {
        "model.json": (json.dumps(description, indent=2, sort_keys=True) + "\n").encode(),
        "README.md": _readme(description, table is not None).encode(),
        CARD: model_card(description).encode(),
        TOKENIZER: tokenizer_json.encode(),
        **({TOKENIZER_TABLE: table} if table else {}),
    }
    sums = {name: _sha256(path) for name, path in members.items()}
    sums |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[CHECKSUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    return write_archive(out_path, {**members, **contents}, _EXECUTABLE)


def read_bundle(path: Path) -> Bundle:
    """Unpack a bundle once, keep it under the state folder by its hash, and check every member against its checksum.

    Raises:
        ModelError: not a bundle, damaged, or of a newer format.
    """
    path = Path(path)
    try:
        folder = subfolder("cache", "bundles") / _sha256(path)
        if not (folder / "model.json").exists():
            _unpack(path, folder)
        model = json.loads((folder / "model.json").read_text())
    except FileNotFoundError as error:
        raise ModelError(f"no bundle at {path}; `pocketformer compile` makes one") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ModelError(f"{path} is not a whole Pocketformer bundle ({error}); make or download it again") from error
    if model.get("format") not in READ_FORMATS:
        known = " and ".join(map(str, READ_FORMATS))
        raise ModelError(f"{path} has bundle format {model.get('format')}, this Pocketformer reads {known}; make it again")
    return Bundle(folder, model)


def description_of(file: IO[bytes]) -> dict[str, Any]:
    """A bundle's `model.json`, from the open file, of which the rest is not read.

    Raises:
        ModelError: not a bundle.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("model.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(f"this is no whole Pocketformer bundle ({error}); make or download it again") from error


def _unpack(path: Path, folder: Path) -> None:
    """Into a sibling first, renamed when every checksum agreed."""
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        with zipfile.ZipFile(path) as archive:
            sums = dict(line.split("  ", 1)[::-1] for line in archive.read(CHECKSUMS).decode().splitlines())
            for name, expected in sums.items():
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise ValueError(f"member {name} leaves the folder")
                target = part / ("model.so" if name == LIBRARY else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as member, target.open("wb") as out:
                    shutil.copyfileobj(member, out, 1 << 20)
                if _sha256(target) != expected:
                    raise ValueError(f"checksum of {name} differs")
                if name in _EXECUTABLE:
                    target.chmod(0o755)
        if not folder.exists():
            os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sha256(path: Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(tokenizer_json: str) -> bytes | None:
    """The tokenizer as the runtime reads it; None where it is of a kind that the runtime has not."""
    if json.loads(tokenizer_json).get("model", {}).get("type") != WORD_PIECE:
        return None
    from tokenizers import Tokenizer

    try:
        return table_of(Tokenizer.from_str(tokenizer_json))
    except CompileError:
        return None


def _readme(model: dict, takes_text: bool) -> str:
    latency = model.get("latency") or {}
    accuracy = model.get("accuracy") or {}
    by_length = ", ".join(f"{each['seq_len']}: {each['median_ms']:.2f} ms" for each in model.get("latency_by_length", ()))
    lengths = (
        f"\n- latency by sequence length, of which a sentence takes the shortest that it fits: {by_length}" if by_length else ""
    )
    scored = (
        ", ".join(f"{name} {value:.4f}" for name, value in accuracy.get("metrics", {}).items())
        or "no task: answers are embeddings"
    )
    return f"""# {model["architecture"]} for {model["device"]}

- task: {(model.get("task") or {}).get("name", "none")}
- accuracy: {scored}{f" ({accuracy['split']})" if accuracy else ""}
- latency: {_latency_text(model)}{lengths}
- precision: {model["precision"]}
- what it was trained on, and how well its accuracy is known: {CARD}

## Time it
{_how_to_time(model, latency.get("threads", 2))}

## Call it from C
    #include "pocketformer.h"
    pf_model *model = pf_load("weights.bin", {latency.get("threads", 2)});{_text_call(model) if takes_text else ""}
    pf_run(model, input_ids, token_type_ids, attention_mask, tokens, scores); /* tokens int32 each, 1 to {model["seq_len"]}; {model["outputs"]} floats out */
    pf_free(model);

Link with `-l:{LIBRARY}`. Token ids come from `tokenizer/tokenizer.json` and need no padding: the fewer tokens, the faster.

{_how_to_use_in_an_app(model) if takes_text and model.get("system") == "android" else ""}{_gpu(model)}## Check it
    sha256sum --check {CHECKSUMS}
"""


def _latency_text(model: dict) -> str:
    latency = model.get("latency")
    if not latency:
        return "not measured"
    setting = f"{latency['source']}, batch 1, sequence length {model['seq_len']}, {latency['threads']} threads"
    spread = (
        f"90 % interval {latency['low_ms']:.2f} to {latency['high_ms']:.2f}; {latency['basis']}"
        if latency["source"] == "predicted"
        else f"median of {latency['runs']} runs; p10 {latency['p10_ms']:.2f}, p90 {latency['p90_ms']:.2f}"
    )
    return f"{latency['median_ms']:.2f} ms ({setting}, {spread})"


def _how_to_time(model: dict, threads: int) -> str:
    if model.get("system") != "android":
        return f"    ./bench --weights weights.bin --threads {threads}"
    programs = ["bench", *(_OPTIONAL if model.get("gpu") else ())]
    return f"""    adb push {" ".join(programs)} weights.bin {PHONE_FOLDER}/
    adb shell chmod 755 {" ".join(f"{PHONE_FOLDER}/{program}" for program in programs)}
    adb shell {PHONE_FOLDER}/bench --weights {PHONE_FOLDER}/weights.bin --threads {threads}"""


def _how_to_use_in_an_app(model: dict) -> str:
    threads = (model.get("latency") or {}).get("threads", 2)
    texts = '"a sentence", "and a second one"' if (model.get("task") or {}).get("pairs") else '"a sentence"'
    labels = ", ".join((model.get("task") or {}).get("label_names", ()))
    return f"""## Use it in an Android app
    pocketformer aar BUNDLE.zip -o app/libs/model.aar

In `app/build.gradle.kts`, nothing else being needed:

    dependencies {{ implementation(files("libs/model.aar")) }}

Kotlin:

    import io.pocketformer.Model

    val model = Model.load({threads})                        // once, off the main thread
    val scores: FloatArray = model.run({texts})
    model.close()

Java:

    try (Model model = Model.load({threads})) {{
        float[] scores = model.run({texts});
    }}

Scores are the {model["outputs"]} numbers that `pf_run` writes{f": {labels}, before any softmax" if labels else ""}. Text of more than {model["seq_len"]} tokens is cut. What
fails throws: IOException when a model is loaded, IllegalStateException when it is asked. Calls from several threads wait for each other.
Android 10 or newer (minSdk 29) on a 64-bit Arm processor; an app holds one such file.

"""


def _gpu(model: dict) -> str:
    if not model.get("gpu"):
        return ""
    manifest = """
In an Android app the manifest needs this, or the app may not open the GPU's library:
    <uses-native-library android:name="libOpenCL.so" android:required="false"/>
    <uses-native-library android:name="libOpenCL-pixel.so" android:required="false"/>
"""
    return f"""## Run it on the GPU
    if (pf_use_gpu(model, "fp16")) puts(pf_error()); /* or "fp32"; where there is no OpenCL the CPU goes on */

`./bench --gpu` or `./bench --gpu fp16` times it there, with `bench-gpu` beside it.
{manifest if model.get("system") == "android" else ""}
"""


def _text_call(model: dict) -> str:
    pair = '"and a second one"' if (model.get("task") or {}).get("pairs") else "NULL"
    return f"""
    pf_tokenizer *tokenizer = pf_load_tokenizer("{TOKENIZER_TABLE}");
    pf_run_text(model, tokenizer, "a sentence", {pair}, scores);
    /* or token ids of your own: */"""
