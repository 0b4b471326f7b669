"""C1 and C2 for annotations of objects: one line says what is wrong and where."""

import pytest
import yaml

from attnzoo import catalog
from attnzoo.errors import EXIT_USER, UserError
from tests import commands
from tests.robustness import malformed_boxes
from tests.robustness.malformed_boxes import COCO, VOC, YOLO, prepare_coco, prepare_voc, prepare_yolo
from tests.robustness.test_bad_files import assert_refused
from tests.thinned import thinned

CASES = [
    *((prepare_voc, case) for case in VOC),
    *((prepare_coco, case) for case in COCO),
    *((prepare_yolo, case) for case in YOLO),
]
IDS = [case.name for _, case in CASES]


def test_c1_there_are_at_least_80_malformed_annotations_with_names_of_their_own():
    assert len(IDS) == len(set(IDS)) >= 80


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("prepare", "case"), CASES, ids=IDS)
def test_c1_a_malformed_annotation_is_refused_in_one_line_that_names_it(empty_folder, prepare, case):
    options = prepare(empty_folder, case)
    data = catalog.load("datasets", options["name"])
    with pytest.raises(UserError) as caught:
        data.load(data.Config(**options), {}, 0)
    message = str(caught.value)
    assert message.startswith(f"{case.file}{case.message}"), message
    assert "\n" not in message
    assert len(message) < 1000
    assert caught.value.exit_code == EXIT_USER


@pytest.mark.parametrize(("prepare", "case"), thinned(CASES, 40, IDS))
def test_c1_a_malformed_annotation_ends_training_with_one_line(empty_folder, prepare, case):
    data = prepare(empty_folder, case)
    config = {"data": data, "model": {"name": "detector"}, "train": {"epochs": 1}}
    (empty_folder / "run.yaml").write_text(yaml.safe_dump(config))
    ended = commands.run("train", "run.yaml", "--run", "run", folder=empty_folder, limit_seconds=40)
    assert_refused(ended, case)
    assert not (empty_folder / "run" / "config.yaml").exists()


@pytest.mark.filterwarnings("ignore")
def test_c3_a_bad_image_is_skipped_by_name_and_the_others_are_read(empty_folder):
    from attnzoo.data.datasets import coco

    case = next(case for case in COCO if case.name == "coco: a box of no category")
    options = malformed_boxes.prepare_coco(empty_folder, case)
    config = coco.Config(**options, on_bad_record="skip", max_bad_fraction=0.5)
    with pytest.warns(UserWarning, match=r"train\.json: 1 of 4 records .*annotations\[1\]\)\."):
        splits = coco.load(config, {}, 0)
    assert [path.rpartition("/")[2] for path in splits.train.column("image")] == ["b.png", "c.png", "d.png"]
