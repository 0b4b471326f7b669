import numpy as np

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
    found, signature = translation_metrics.compare(systems, references, TranslationEvalOptions())
    assert [one.name for one in found] == ["first", "worse", "close"]
    assert {one.metric for one in found} == {"bleu"}
    assert found[0].p_value is None
    assert found[1].value < found[0].value - found[0].interval
    assert found[1].p_value < 0.01
    assert found[2].p_value > 0.01
    assert "tok:13a" in signature
