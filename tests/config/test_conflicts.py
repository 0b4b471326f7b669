"""Options that are right each by itself and do not go together are refused where they were written."""

import pytest

from attnzoo.config import resolve
from attnzoo.errors import ConfigErrors

TEXTS = "data: {name: csv, train: a.csv}\nmodel: {name: text_classifier, units: 12}\n"
PAIRS = "data: {name: parallel_text, train: [a, b]}\nmodel: {name: translation, units: 12}\n"
IMAGES = "data: {name: digits}\nmodel: {name: image_classifier}\n"
SHAPES = "data: {name: shapes}\nmodel: {name: detector}\n"
TFDS = "data: {name: tfds, dataset: mnist}\nmodel: {name: image_classifier}\n"
WIDTHS = "expected a divisor of the width 12: 1, 2, 3, 4, 6, 12; received 5"
ODD_HEADS = "{name: multi_head, num_heads: 256, position: rotary}"
CROSS = "choose one of additive, dot_product, linear, local, multi_head, sigmoid"


@pytest.mark.parametrize(
    ("text", "override", "what"),
    [
        (TEXTS, "model.attention.num_heads=5", WIDTHS),
        (
            TEXTS,
            "model.attention.num_key_value_heads=3",
            "expected a divisor of num_heads 4, received 3; 1 always is",
        ),
        (
            TEXTS,
            "model.attention.position=rotary",
            "rotary turns pairs of features, and a head has 3 of the width 12; expected an even number a "
            "head: change num_heads or position",
        ),
        (
            PAIRS,
            "model.attention.name=cbam",
            f"'cbam' does not support cross-attention and causal masks, which this model needs; {CROSS}",
        ),
        (
            PAIRS,
            "model.share_embeddings=true",
            "needs one vocabulary for both texts; set data.shared_vocabulary: true, or leave it out",
        ),
        (TEXTS, "data.label=text", "data.text and data.label are both 'text'; name two different columns"),
        (
            TEXTS,
            "data.label=[a, b]",
            "a list of columns is for multi_label models; expected one column of labels",
        ),
        (
            TEXTS,
            "data.columns=[text]",
            "fewer names than are needed; expected those of data.text and data.label",
        ),
        (TEXTS, "data.columns=[text, label, text]", "'text' more than once; give each column its own name"),
        (
            TEXTS,
            "data.test=a.xls",
            "a.xls: unknown suffix '.xls'; expected .csv, .tsv or .jsonl, optionally followed by .gz",
        ),
        (
            TEXTS,
            "data.delimiter='\"'",
            "expected a character other than quotes and line ends, received '\"'",
        ),
        (
            TEXTS,
            "train.learning_rate_multipliers={'*': 0}",
            "all weights are frozen (multiplier 0); leave some to train",
        ),
        (
            IMAGES,
            "data.image_size=9000",
            "9000 x 9000 pixels; expected at most 50 megapixels, make it smaller",
        ),
        (
            IMAGES,
            "model.stages=[{width: 7, attention: multi_head}]",
            "expected a divisor of the width 7: 1, 7; received 4",
        ),
        (
            TFDS,
            "data.dataset=glue:sst2",
            "'glue:sst2': community data sets are not supported; give a plain name",
        ),
        (
            "data: {name: languages, tokenizer: bpe}\nmodel: text_classifier\n",
            "data.vocabulary_size=753",
            "too small for bpe, which include all characters of train; expected at least 754, received 753",
        ),
        (
            TEXTS + "train: {optimizer: lion}\n",
            "train.beta_1=0",
            "lion takes the sign of a moving average; expected a number above 0, received 0",
        ),
        (TFDS, "data.data_dir=gs://there", "gs://there: expected a folder on this machine"),
    ],
)
def test_one_option_that_does_not_go_with_the_others_is_one_line(empty_folder, text, override, what):
    (empty_folder / "x.yaml").write_text(text)
    resolve("x.yaml")
    with pytest.raises(ConfigErrors) as caught:
        resolve("x.yaml", [override])
    (line,) = caught.value.lines
    key = override.split("=")[0] + {"model.stages": ".0.attention.num_heads"}.get(override.split("=")[0], "")
    assert line == f"--set {override}: {key}: {what}"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "data: {name: csv, train: a.csv, text: file}\nmodel: image_classifier\n",
            "to read such files for it use data.name: image_table with data.image and data.label",
        ),
        (
            "data: {name: image_table, train: a.csv}\nmodel: translation_rnn\n",
            "to read such files for it use data.name: csv with data.source and data.target",
        ),
    ],
)
def test_where_another_data_set_reads_the_same_files_for_a_model_it_is_named(empty_folder, text, advice):
    (empty_folder / "x.yaml").write_text(text)
    with pytest.raises(ConfigErrors, match=f"{advice}; models that fit: "):
        resolve("x.yaml")


@pytest.mark.parametrize(
    ("text", "changes", "what"),
    [
        (SHAPES, "[flip, elastic]", "elastic cannot move boxes; remove it, or use another change"),
        (SHAPES, "[flip, rand_augment]", "rand_augment cannot move boxes; remove it, or use another change"),
        (SHAPES, "[flip, cutmix]", "cutmix cannot move boxes; remove it, or use another change"),
        (IMAGES, "[flip, mosaic]", "mosaic is for images with boxes only; remove it"),
    ],
)
def test_a_change_of_images_that_does_not_suit_the_task_is_one_line(empty_folder, text, changes, what):
    (empty_folder / "x.yaml").write_text(text)
    resolve("x.yaml", ["data.augment=[flip, crop, rotate, cutout, mixup]"])
    with pytest.raises(ConfigErrors) as caught:
        resolve("x.yaml", [f"data.augment={changes}"])
    assert caught.value.lines == [f"--set data.augment={changes}: data.augment.1: {what}"]


def test_the_line_of_a_file_is_the_one_of_the_key(empty_folder):
    (empty_folder / "x.yaml").write_text(
        "data: {name: csv, train: a.csv}\nmodel:\n  name: text_classifier\n  pooling: max\n  window: 5\n"
        "  units: 7\n  recurrent: gru\ntrain:\n  class_weights: {a: 2}\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        resolve("x.yaml")
    assert caught.value.lines == [
        "x.yaml:2: model.attention.num_heads: expected a divisor of the width 7: 1, 7; received 4",
        "x.yaml:5: model.window: goes with pooling: attention, not max; leave window out, or set "
        "model.pooling",
        "x.yaml:6: model.units: expected an even number, half for each direction of gru; received 7",
    ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TEXTS, ["model.num_layers=0", "model.attention.num_heads=5"]),
        (PAIRS, ["model.share_embeddings=true", "data.shared_vocabulary=true"]),
        (PAIRS, ["model.share_embeddings=true", "data.tokenizer=bytes"]),
        (PAIRS, ["model.share_embeddings=true", "train.init_from=there"]),
        (PAIRS, ["model=translation_rnn", f"model.attention={ODD_HEADS}"]),
        (TEXTS, ["data.columns=[text]", "model=masked_text_model"]),
        (TEXTS, ["data.train=a.jsonl", "data.columns=[a]"]),
        (TEXTS, ["train.learning_rate_multipliers={'*': 0.5, embedding: 0}"]),
    ],
)
def test_what_a_model_can_do_all_the_same_is_not_refused(empty_folder, text, options):
    (empty_folder / "x.yaml").write_text(text)
    resolve("x.yaml", options)


def test_weights_of_labels_are_held_against_those_of_data_that_is_known(empty_folder):
    (empty_folder / "x.yaml").write_text(IMAGES + "train:\n  class_weights:\n    '3': 2.0\n    three: 2.0\n")
    with pytest.raises(ConfigErrors) as caught:
        resolve("x.yaml")
    assert caught.value.lines == [
        "x.yaml:6: train.class_weights.three: the data has no label 'three'; its labels are: "
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    ]
