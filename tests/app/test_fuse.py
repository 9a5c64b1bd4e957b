"""`pocketformer fuse`: the figures that it promises for BERT-base, and its table."""

import json

import pytest

from app.cli import main

TINY = "L1-H64-A1-F128"


def fused(capsys, *arguments: str) -> dict:
    assert main(["fuse", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_bert_base(capsys):
    report = fused(capsys, "bert-base")
    assert report["kernels_after"] == len(report["blocks"]) <= 62
    assert report["ir_mb_after"] <= report["ir_mb_before"] / 4
    assert report["layers_before"]["compute_intensive"] == 109, "CANAO Table 1"
    assert not [block["name"] for block in report["blocks"] if "transpose" in block["name"] or "reshape" in block["name"]]
    assert report["flops_after"] / 1e9 == pytest.approx(22.35, abs=0.01)
    fields = {"name", "members", "rule", "law", "bytes_before", "bytes_after", "flops_before", "flops_after", "inputs"}
    assert all(set(block) == fields for block in report["blocks"])


def test_without_fusion(capsys):
    report = fused(capsys, TINY, "--fusion", "none", "--seq-len", "16")
    with_fusion = fused(capsys, TINY, "--seq-len", "16")
    assert report["layers_before"] == with_fusion["layers_before"]
    assert report["kernels_after"] > 8 * with_fusion["kernels_after"]
    assert report["ir_mb_before"] == with_fusion["ir_mb_before"] > report["ir_mb_after"] > with_fusion["ir_mb_after"]


def test_the_table(capsys):
    assert main(["fuse", TINY, "--seq-len", "16"]) == 0
    text = capsys.readouterr().out
    assert "layer1.attention_output" in text
    assert "softmax" in text
    assert "kernels after" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fuse", TINY, "--fusion", "some"), "unknown fusion 'some'; take lp or none"),
        (("fuse", "nosuch"), "unknown model 'nosuch'"),
        (("bench", TINY, "--fusion", "some"), "unknown fusion 'some'; take lp or none"),
        (("compile", TINY, "--fusion", "some", "-o", "out.zip"), "unknown fusion 'some'; take lp or none"),
    ],
)
def test_wrong_use(capsys, arguments, message):
    assert main(list(arguments)) == 2
    assert message in capsys.readouterr().err
