"""How a bundle is called, in the languages of those who ship it. Pure: a bundle's `model.json` in, text out."""

from typing import Any

ANDROID = "android"


def kotlin(model: dict[str, Any]) -> str:
    texts = '"A plane is taking off.", "An air plane is leaving."' if _pairs(model) else '"A plane is taking off."'
    return f"""// build.gradle.kts: dependencies {{ implementation(files("libs/model.aar")) }}
val model = io.pocketformer.Model.load({_threads(model)})   // once, off the main thread
val scores = model.run({texts})   // {_scores(model)}
model.close()"""


def java(model: dict[str, Any]) -> str:
    texts = '"A plane is taking off.", "An air plane is leaving."' if _pairs(model) else '"A plane is taking off."'
    return f"""try (io.pocketformer.Model model = io.pocketformer.Model.load({_threads(model)})) {{
    float[] scores = model.run({texts});   // {_scores(model)}
}}"""


def c(model: dict[str, Any]) -> str:
    pair = '"An air plane is leaving."' if _pairs(model) else "NULL"
    return f"""#include <stdio.h>
#include "pocketformer.h"

int main(void) {{
    pf_model *model = pf_load("weights.bin", {_threads(model)});
    pf_tokenizer *tokenizer = pf_load_tokenizer("tokenizer/tokenizer.bin");
    float scores[{model.get("outputs", 1)}]; /* {_scores(model)} */
    if (!model || !tokenizer) return puts(pf_error());
    if (pf_run_text(model, tokenizer, "A plane is taking off.", {pair}, scores)) return puts(pf_error());
    for (int i = 0; i < pf_outputs(model); i++) printf("%f\\n", scores[i]);
    pf_free(model);
}}
/* cc app.c -L. -l:libpocketformer.so -Wl,-rpath,. -o app */"""


def shell(model: dict[str, Any], name: str) -> str:
    pair = ' --pair "An air plane is leaving."' if _pairs(model) else ""
    if model.get("system") == ANDROID:
        return f"""pocketformer aar {name} -o app/libs/model.aar        # for an Android app
pocketformer bench {name} --device {model.get("device")}  # on the connected phone"""
    return f"""pocketformer run {name} --text "A plane is taking off."{pair}
unzip {name} -d model && cd model && sha256sum --check SHA256SUMS
./bench --weights weights.bin --threads {_threads(model)}"""


def _threads(model: dict[str, Any]) -> int:
    return int((model.get("latency") or {}).get("threads", 2))


def _pairs(model: dict[str, Any]) -> bool:
    return bool((model.get("task") or {}).get("pairs"))


def _scores(model: dict[str, Any]) -> str:
    labels = (model.get("task") or {}).get("label_names") or ()
    return f"before any softmax: {', '.join(labels)}" if labels else f"{model.get('outputs', 1)} number(s)"
