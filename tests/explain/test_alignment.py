"""Where translations attend, as data and as pictures."""

import json

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.explain.alignment import Alignment, draw
from attnzoo.explanation import Explanation
from tests.thinned import thinned


@pytest.mark.parametrize("beams", thinned([1, 3], 2))
def test_attention_is_shown_as_data_and_as_a_picture(runs, tmp_path, beams):
    explanation = Explanation(runs["translation"], beams=beams)
    one, other = explanation.explain_inputs(["abc", "ca"])
    assert one.source_tokens == ["a", "b", "c", "(end)"]
    assert one.weights.shape == (len(one.target_tokens), 4)
    assert other.source_tokens == ["c", "a", "(end)"]
    np.testing.assert_allclose(one.weights.sum(axis=1), 1.0, atol=1e-5)
    assert json.loads(one.to_json())["translation"] == one.translation
    (path,) = explanation.view.write([one], tmp_path / "pictures", "x")
    assert path == tmp_path / "pictures" / "1.png"
    assert tf.io.decode_png(path.read_bytes()).shape[0] > 100
    assert len(explanation.explain_examples(None, 2)) == 2
    longest = explanation.trained.info.longest("source") - 1  # END takes a place
    whole, truncated = explanation.explain_inputs(["b" * longest, "b" * (longest + 1)])
    assert (one.truncated, whole.truncated, truncated.truncated) == (False, False, True)
    assert whole.source_tokens == truncated.source_tokens == [*"b" * longest, "(end)"]


def test_tokens_with_any_characters_are_drawn_literally(tmp_path, recwarn):
    tokens = ["$$", r"$5-$\foo$", "猫", "\x00", "(end)"]
    draw(
        Alignment("any", "any", tokens, tokens, np.eye(5, dtype=np.float32), truncated=False),
        tmp_path / "1.png",
    )
    assert tf.io.decode_png((tmp_path / "1.png").read_bytes()).shape[0] > 100
    assert not recwarn.list
