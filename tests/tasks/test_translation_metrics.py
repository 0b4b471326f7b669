import numpy as np
import pytest

from attnzoo.tasks import translation_metrics
from attnzoo.tasks.translation_options import TranslationEvalOptions


def test_a_clear_difference_is_significant_and_a_small_one_is_not():
    generator = np.random.default_rng(3)
    words = np.array([f"word{number}" for number in range(50)])
    references = [" ".join(generator.choice(words, 12)) for _ in range(60)]

    def damaged(share):
        return [
            " ".join("wrong" if generator.random() < share else word for word in text.split())
            for text in references
        ]

    first = damaged(0.2)
    close = [*first[:-1], references[-1]]
    systems = [("first", first), ("worse", damaged(0.4)), ("close", close)]
    actual, signature = translation_metrics.compare(systems, [references], TranslationEvalOptions())
    assert [one.name for one in actual] == ["first", "worse", "close"]
    assert {one.metric for one in actual} == {"bleu"}
    assert actual[0].p_value is None
    assert actual[1].value < actual[0].value - actual[0].interval
    assert actual[1].p_value < 0.01
    assert actual[2].p_value > 0.01
    assert "tok:13a" in signature


PLAIN = TranslationEvalOptions()
ONE = ["a small house on the hill", "she reads the long letter again", "it rains"]
OTHER = ["there is a little house up there", "the letter is read by her once more", "rain falls today"]
NUMBERS = ("bleu", "bleu_interval", "chrf", "exact_match")


def numbers_of(translations, references):
    metrics = translation_metrics.compute_metrics(translations, references, PLAIN)
    return [metrics[name] for name in NUMBERS]


def test_a_reference_given_twice_counts_once():
    translations = [ONE[0], "she reads a letter", "rain falls"]
    np.testing.assert_allclose(numbers_of(translations, [ONE, ONE]), numbers_of(translations, [ONE]))


def test_a_translation_is_right_that_equals_any_reference():
    mixed = [ONE[0], OTHER[1], OTHER[2]]
    metrics = translation_metrics.compute_metrics(mixed, [ONE, OTHER], PLAIN)
    assert [metrics[name] for name in ("bleu", "chrf", "exact_match")] == pytest.approx([100.0, 100.0, 1.0])
    assert "nrefs:2" in metrics["bleu_signature"]
    assert "nrefs:2" in metrics["chrf_signature"]
    assert numbers_of(mixed, [OTHER, ONE]) == pytest.approx(numbers_of(mixed, [ONE, OTHER]))
    alone = translation_metrics.compute_metrics(mixed, [ONE], PLAIN)
    assert alone["exact_match"] == pytest.approx(1 / 3)
    assert alone["bleu"] < 70
    assert "nrefs:1" in alone["bleu_signature"]


def test_runs_are_compared_by_all_references():
    systems = [("first", [ONE[0], "she reads", "it"]), ("other", OTHER)]
    results, signature = translation_metrics.compare(systems, [ONE, OTHER], PLAIN)
    assert results[1].value == pytest.approx(100.0)
    assert "nrefs:2" in signature
