"""Options of detection that do not fit the data."""

import pytest

from attnzoo.errors import DataWarning, UserError
from attnzoo.models import detector, detector_transformer
from attnzoo.tasks.detection_checks import require_objects, warn_of_limits
from tests.tasks.detection_cases import make_objects

BOX = (10, 10, 60, 60)


def objects(*counts, crowds=0):
    return [
        make_objects([BOX] * (count + crowds), [0] * (count + crowds), [False] * count + [True] * crowds)
        for count in counts
    ]


def test_images_with_more_objects_than_queries_are_counted_and_a_number_is_offered():
    limits = {
        f"model.{key}": limit for key, limit in detector_transformer.Config(num_queries=3).max_objects.items()
    }
    with pytest.warns(DataWarning) as told:
        warn_of_limits(limits, {"train": objects(3, 5, 4), "validation": objects(1), "test": objects(7)})
    assert [str(one.message) for one in told] == [
        "model.num_queries: 3 is fewer than the objects of some images (2 of train, 1 of test; up to 7), and "
        "no more are found in one; set model.num_queries: 7."
    ]


def test_crowds_need_no_query_and_other_models_have_no_limit(recwarn):
    assert detector.Config().max_objects == {}
    warn_of_limits({"model.num_queries": 3}, {"train": objects(3, 0, crowds=2), "test": []})
    assert not recwarn.list


def test_splits_without_objects_are_refused_where_objects_are_needed():
    some, none = objects(1, 0), objects(0, 0)
    require_objects({"train": some, "validation": some}, "ap")
    require_objects({"train": some, "validation": none}, None)
    require_objects({"train": some, "validation": some, "test": none}, "ap50")
    with pytest.raises(UserError, match=r"^validation: none of 2 images has objects, so ap50 is undefined"):
        require_objects({"train": some, "validation": none}, "ap50")
    with pytest.raises(UserError, match=r"^train: none of 1 images has objects but crowds, so there is noth"):
        require_objects({"train": objects(0, crowds=2), "validation": some}, "ap")
