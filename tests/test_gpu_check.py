"""The numbers that a GPU is checked against, without one."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention import attention

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import gpu_check
import gpu_check_run

CASES = {case["kind"]: case for case in gpu_check.attention_programs((32,)) if case["what"] == "check"}


@pytest.mark.parametrize(
    "kind", ["odd lengths", "padding in any place", "window lengths", "grouped, lengths"]
)
def test_expected_numbers_are_those_of_attention_and_rows_without_keys_must_be_zero(kind):
    case = {**CASES[kind], "dim": 8, "batch": 4, "dtype": "float16"}
    tensors = gpu_check_run.make_inputs(case)
    query, key, value, upstream = (tf.constant(tensor, tf.float32) for tensor in tensors[:4])
    masks = {"key_lengths": tensors[4]} if case.get("lengths") else {}
    masks |= {"padding_mask": tensors[4]} if case.get("padding") else {}
    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        options = {"causal": case.get("causal", False), "window": case.get("window"), **masks}
        output = attention(query, key, value, implementation="reference", **options)
    outputs = [output, *tape.gradient(output, [query, key, value], upstream)]
    found = gpu_check_run.differences(case, tensors, outputs)
    assert found.pop("ok")
    assert max(found.values()) < 1e-5
    if masks:  # the second example has no keys
        changed = outputs[0].numpy()
        changed[1, 0, 0] = 1e-7
        assert not gpu_check_run.differences(case, tensors, [changed, *outputs[1:]])["ok"]
    broken = [outputs[0], np.full(query.shape, np.nan), *outputs[2:]]
    found = gpu_check_run.differences(case, tensors, broken)
    assert not found["ok"]
    assert found["grad_query"] is None


def test_steps_with_another_loss_are_marked():
    losses = [("texts", 2.0), ("pairs", 5.0), ("texts", 2.01), ("texts", 2.1), ("pairs", None)]
    results = [{"recipe": recipe, "loss": loss, "ok": True} for recipe, loss in losses]
    gpu_check_run.compare_losses(results)
    assert [result["ok"] for result in results] == [True, True, True, False, True]
