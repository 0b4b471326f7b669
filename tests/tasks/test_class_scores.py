import numpy as np

from attnzoo.tasks import class_scores


def test_what_is_undefined_is_none_and_a_dash():
    rows = class_scores.class_scores(
        ["seen", "never predicted", "nowhere"], np.array([3, 0, 0]), np.array([4, 0, 0]), np.array([6, 2, 0])
    )
    assert [(row["precision"], row["recall"], row["f1"]) for row in rows] == [
        (0.75, 0.5, 0.6),
        (None, 0.0, 0.0),
        (None, None, None),
    ]
    assert [*class_scores.lines(rows)] == [
        "  class            precision  recall     f1  support",
        "  seen                 0.750   0.500  0.600        6",
        "  never predicted          -   0.000  0.000        2",
        "  nowhere                  -       -      -        0",
    ]


def test_of_many_classes_those_with_the_lowest_f1_are_printed():
    correct, support = np.arange(30), np.full(30, 40)
    rows = class_scores.class_scores([f"c{number}" for number in range(30)], correct, support, support)
    title, head, *table = class_scores.lines(rows)
    assert title == "  the 10 of 30 classes with the lowest F1 (--json has all)"
    assert [line.split()[0] for line in table] == [f"c{number}" for number in range(10)]
    assert {len(line) for line in table} == {len(head)}
