import dataclasses
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo import tasks
from attnzoo.data import pipeline
from attnzoo.data.buckets import assign_buckets, truncated_fraction
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.data.splits import Split
from attnzoo.errors import UserError
from attnzoo.features.boxes import Boxes, objects_column
from attnzoo.features.image import Image
from attnzoo.features.image_data_options import ImageOptions
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text, TextOptions
from attnzoo.features.weight import Weight
from attnzoo.text.ragged import Ragged


def ragged(lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.arange(1, offsets[-1] + 1, dtype=np.int32), offsets)


def text_examples(lengths, buckets=({"text": 4}, {"text": 9})):
    encoded = {"text": ragged(lengths), "label": np.arange(len(lengths), dtype=np.int32) % 3}
    raw = Split({"text": np.array(["x"] * len(lengths), object)}, "test data")
    features = {"text": Text(), "label": Label(names=("a", "b", "c"))}
    info = DataInfo("text_classification", features, buckets=buckets)
    assigned = assign_buckets({"text": encoded["text"].lengths}, buckets)
    return Examples(encoded, assigned, raw), info


def batches(examples, info, plans, training=None, **options):
    make_batch = tasks.load(info.task).make_batch(info, examples, training)
    return pipeline.batches(examples, info, plans, make_batch, **options)


def real_indices(plan):
    return np.concatenate([batch.indices[: batch.count] for batch in plan])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 13), min_size=1, max_size=53),
    size=st.integers(1, 11),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_every_example_comes_exactly_once_an_epoch(lengths, size, seed, epoch):
    examples, info = text_examples(lengths)
    plan = pipeline.plan_epoch(examples, info, BatchSizes(size), (seed, epoch))
    assert sorted(real_indices(plan)) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch.indices) == size
        assert examples.buckets[batch.indices].max() <= batch.bucket
    assert sum(batch.count < size for batch in plan) <= 1


def test_what_does_not_fill_a_batch_goes_to_the_next_longer_bucket():
    examples, info = text_examples([3] * 5 + [7] * 3)
    plan = pipeline.plan_epoch(examples, info, BatchSizes(2), (1, 0))
    assert sorted((batch.bucket, batch.count) for batch in plan) == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_an_evaluation_uses_few_buckets():
    buckets = [{"text": length} for length in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)]
    examples, info = text_examples(list(range(30)), buckets)
    plans = [batch for _, batch in pipeline.evaluation_plans(examples, info, BatchSizes(1))]
    lengths = {buckets[batch.bucket]["text"] for batch in plans}
    assert lengths == {2, 7, 17, 29}
    assert all(buckets[batch.bucket]["text"] >= batch.indices[0] for batch in plans)
    assert sorted(real_indices(plans)) == list(range(30))


def test_an_evaluation_of_longer_texts_than_in_training_uses_one_more_length():
    examples, info = text_examples([3, 40, 17, 9])
    info = dataclasses.replace(info, max_length=64)
    assigned = assign_buckets({"text": examples.encoded["text"].lengths}, info.lengths)
    plans = pipeline.plan_epoch(dataclasses.replace(examples, buckets=assigned), info, BatchSizes(1), None)
    read = {int(batch.indices[0]): info.lengths[batch.bucket]["text"] for batch in plans}
    assert read == {0: 4, 3: 9, 2: 64, 1: 64}


def test_order_depends_on_seed_and_epoch_alone():
    examples, info = text_examples([3, 5] * 19)
    plans = {
        key: real_indices(pipeline.plan_epoch(examples, info, BatchSizes(7), key)).tolist()
        for key in [(1, 0), (1, 1), (2, 0)]
    }
    again = real_indices(pipeline.plan_epoch(examples, info, BatchSizes(7), (1, 0))).tolist()
    assert again == plans[1, 0]
    assert len({tuple(order) for order in plans.values()}) == 3


def test_training_continues_at_any_batch_without_replaying():
    examples, info = text_examples([3, 8] * 13)
    plans = pipeline.training_plans(examples, info, BatchSizes(5), seed=3, epoch=0, batch=0)
    whole = [(epoch, planned.indices.tolist()) for epoch, planned in (next(plans) for _ in range(17))]
    batches_an_epoch = len(pipeline.plan_epoch(examples, info, BatchSizes(5), (3, 0)))
    resumed = pipeline.training_plans(examples, info, BatchSizes(5), seed=3, epoch=1, batch=2)
    skipped = batches_an_epoch + 2
    rest = [
        (epoch, planned.indices.tolist()) for epoch, planned in (next(resumed) for _ in range(17 - skipped))
    ]
    assert rest == whole[skipped:]


def test_batches_hold_at_most_the_given_tokens_in_multiples_of_the_replicas():
    sizes = BatchSizes(64, tokens=100, multiple=3)
    assert sizes.of({"source": 7, "target": 11}) == 9
    assert sizes.of({"source": 7, "target": 101}) == 3
    assert BatchSizes(64).of({}) == 64


def test_rows_are_padded_with_zeros_and_cut_at_the_bucket():
    examples, info = text_examples([2, 0, 11], buckets=({"text": 5},))
    plans = pipeline.evaluation_plans(examples, info, BatchSizes(3))
    ((inputs, targets),) = list(batches(examples, info, plans))
    np.testing.assert_array_equal(inputs["text"], [[1, 2, 0, 0, 0], [0] * 5, [3, 4, 5, 6, 7]])
    np.testing.assert_array_equal(targets["labels"], [0, 1, 2])
    assert truncated_fraction(examples.lengths(info), info.buckets[-1]) == pytest.approx(6 / 13)


def test_rows_that_fill_up_the_last_batch_weigh_nothing():
    examples, info = text_examples([1] * 5)
    plans = pipeline.evaluation_plans(examples, info, BatchSizes(3))
    weights = [targets["weights"].numpy().tolist() for _, targets in batches(examples, info, plans)]
    assert weights == [[1, 1, 1], [1, 1, 0]]


def image_examples(count=7):
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (count, 11, 13, 3)).astype(np.uint8)
    columns = {"image": images, "label": np.zeros(count, np.int32)}
    features = {
        "image": Image(shape=(11, 13, 3), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
        "label": Label(names=("a", "b")),
    }
    info = DataInfo("image_classification", features)
    return Examples(columns, np.zeros(count, np.int32), Split(columns, "test images")), info


def standardized(examples, info):
    image = info.features["image"]
    return (examples.encoded["image"] / 255.0 - np.array(image.mean)) / np.array(image.std)


def test_augmentation_is_a_function_of_seed_epoch_and_example():
    examples, info = image_examples()

    def images(seed, epoch, size):
        plans = pipeline.training_plans(examples, info, BatchSizes(size), seed, epoch, 0)
        changes = ImageOptions(name="images", augment=["flip", "shift", "cutout"])
        by_index = {}
        for inputs, targets in batches(examples, info, plans, changes=changes, seed=seed):
            for index, image in zip(targets["indices"].numpy(), inputs["image"].numpy(), strict=True):
                by_index.setdefault(int(index), image)
            if len(by_index) == len(examples):
                return np.stack([by_index[index] for index in sorted(by_index)])
        raise AssertionError("unreachable: plans do not end")

    first = images(seed=3, epoch=1, size=7)
    np.testing.assert_array_equal(first, images(seed=3, epoch=1, size=2)[: len(first)])
    assert not np.array_equal(first, images(seed=3, epoch=2, size=7))


def test_batches_after_a_resume_are_those_without_while_mosaics_are_made_and_after():
    examples, info = image_examples()
    objects = np.tile(np.array([0.2, 0.3, 0.7, 0.8, 1.0, 1.0], np.float32), (len(examples), 1, 1))
    boxes = Boxes(names=("a", "b"), max_boxes=1, canvas=(11, 13))
    examples = dataclasses.replace(
        examples, encoded={"image": examples.encoded["image"], "boxes": objects_column(list(objects))}
    )
    info = DataInfo("detection", {"image": info.features["image"], "boxes": boxes})
    changes = ImageOptions(name="images", augment=[{"name": "mosaic", "until": 0.5}, "flip"])

    def made(epoch, batch, count):
        plans = pipeline.training_plans(examples, info, BatchSizes(3), 3, epoch, batch)
        drawn = batches(examples, info, plans, changes=changes, seed=3, num_epochs=3)
        return [
            (inputs["image"].numpy(), targets["boxes"].numpy()) for inputs, targets in islice(drawn, count)
        ]

    whole = made(0, 0, 9)  # three batches an epoch
    for number, (images, moved) in enumerate(made(1, 1, 5), start=4):
        np.testing.assert_array_equal(images, whole[number][0])
        np.testing.assert_array_equal(moved, whole[number][1])
    assert {moved.shape for _, moved in whole} == {(3, 4, 6)}
    is_mosaic = [bool(np.any(moved[:, 1:])) for _, moved in whole]
    assert is_mosaic == [True] * 5 + [False] * 4


@pytest.mark.parametrize("xla", [False, True])
def test_images_are_bytes_on_their_way_and_standardized_by_channel_for_the_model(xla):
    examples, info = image_examples()
    plans = pipeline.evaluation_plans(examples, info, BatchSizes(7))
    ((inputs, _),) = list(batches(examples, info, plans))
    np.testing.assert_array_equal(inputs["image"], examples.encoded["image"])
    prepared = tf.function(info.model_inputs, jit_compile=xla, autograph=False)(
        {**inputs, "other": tf.range(7)}
    )
    np.testing.assert_allclose(prepared["image"], standardized(examples, info), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(prepared["other"], tf.range(7))


@pytest.mark.parametrize("augment", [["flip"], ["shift", "color"], ["flip", "mixup"]])
def test_augmented_images_are_bytes_unless_they_have_16_bits(augment):
    examples, info = image_examples()
    changes = ImageOptions(name="images", augment=augment)

    def first(examples, info):
        plans = pipeline.training_plans(examples, info, BatchSizes(7), 3, 0, 0)
        inputs, _ = next(batches(examples, info, plans, changes=changes, seed=3))
        return inputs["image"], info.model_inputs(inputs)["image"]

    of_bytes, standard = first(examples, info)
    assert (of_bytes.dtype, standard.dtype) == (tf.uint8, tf.float32)
    files = [tf.io.encode_png(257 * image.astype(np.uint16)).numpy() for image in examples.encoded["image"]]
    deep = info.features["image"].model_copy(update={"max_value": 65535})
    info = dataclasses.replace(info, features={**info.features, "image": deep})
    column = np.array([*files, None], object)[:-1]
    examples = dataclasses.replace(examples, encoded={**examples.encoded, "image": column})
    of_floats, deep_standard = first(examples, info)
    assert (of_floats.dtype, deep_standard.dtype) == (tf.float32, tf.float32)
    np.testing.assert_allclose(of_bytes, 255.0 * of_floats, atol=0.501)
    half_level = 0.501 / 255.0 / np.array(deep.std)
    assert np.all(np.abs(standard - deep_standard) < half_level)


def test_encoded_images_of_any_size_are_brought_to_one_shape():
    generator = np.random.default_rng(7)
    files = [
        tf.io.encode_png(generator.integers(0, 256, (h, 5, 3)).astype(np.uint8)).numpy() for h in (7, 19)
    ]
    column = np.empty(2, object)
    column[:] = files
    examples, info = image_examples(2)
    examples = dataclasses.replace(examples, encoded={**examples.encoded, "image": column})
    plans = pipeline.evaluation_plans(examples, info, BatchSizes(2))
    ((inputs, _),) = list(batches(examples, info, plans))
    assert inputs["image"].shape == (2, 11, 13, 3)


def test_class_weights_multiply_the_weights_of_the_loss_alone():
    examples, info = text_examples([3, 3, 3, 3, 3])
    training = tasks.load("text_classification").TrainOptions(class_weights={"a": 0.5, "b": 2.0, "c": 3.0})
    plans = list(pipeline.evaluation_plans(examples, info, BatchSizes(3)))
    (_, first), (_, last) = batches(examples, info, iter(plans), training)
    assert first["loss_weights"].numpy().tolist() == [0.5, 2.0, 3.0]
    assert last["loss_weights"].numpy().tolist() == [0.5, 2.0, 0.0]
    assert last["weights"].numpy().tolist() == [1.0, 1.0, 0.0]
    assert all("loss_weights" not in targets for _, targets in batches(examples, info, iter(plans)))


def with_weights(examples, info, values):
    weight = Weight(mean=2.0, least=0.0, greatest=max(values))
    encoded = {**examples.encoded, "weight": weight.encode(np.array(values))}
    features = {**info.features, "weight": weight}
    return dataclasses.replace(examples, encoded=encoded), dataclasses.replace(info, features=features)


def test_weights_of_examples_count_in_training_alone():
    examples, info = with_weights(*text_examples([3, 3, 3, 3, 3]), [0.0, 1.0, 2.0, 3.0, 4.0])
    plans = list(pipeline.evaluation_plans(examples, info, BatchSizes(3)))
    training = tasks.load("text_classification").TrainOptions(class_weights={"b": 3.0})
    options = TextOptions(name="texts")
    made = list(batches(examples, info, iter(plans), training, changes=options))
    assert [targets["weights"].numpy().tolist() for _, targets in made] == [[0.0, 0.5, 1.0], [1.5, 2.0, 0.0]]
    assert [targets["loss_weights"].numpy().tolist() for _, targets in made] == [[0, 1.5, 1], [1.5, 6, 0]]
    assert all(set(inputs) == {"text"} for inputs, _ in made)
    evaluated = [targets["weights"].numpy().tolist() for _, targets in batches(examples, info, iter(plans))]
    assert evaluated == [[1, 1, 1], [1, 1, 0]]


def test_mixed_images_have_mixed_weights():
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 2.0, 2.0]
    examples, info = with_weights(*image_examples(), values)
    plans = pipeline.training_plans(examples, info, BatchSizes(7), 3, 1, 0)
    _, targets = next(
        batches(examples, info, plans, changes=ImageOptions(name="x", augment=["mixup"]), seed=3)
    )
    fractions, weights = targets["label_fractions"], np.array(values)[targets["indices"]] / 2.0
    expected = fractions * weights + (1 - fractions) * np.roll(weights, 1)
    np.testing.assert_allclose(targets["weights"], expected, rtol=1e-5)


def test_mixed_images_come_with_the_labels_of_both_and_their_shares():
    examples, info = image_examples()
    labels = np.arange(len(examples), dtype=np.int32) % 2
    examples = dataclasses.replace(examples, encoded={**examples.encoded, "label": labels})
    plans = pipeline.training_plans(examples, info, BatchSizes(5), 3, 1, 0)
    weights = np.array([1.0, 3.0], np.float32)
    training = tasks.load("image_classification").TrainOptions(class_weights={"b": 3.0})
    changes = ImageOptions(name="images", augment=["mixup"])
    inputs, targets = next(batches(examples, info, plans, training, changes=changes, seed=3))
    indices, fractions = targets["indices"].numpy(), targets["label_fractions"].numpy()
    labels, others = targets["labels"].numpy(), targets["other_labels"].numpy()
    np.testing.assert_array_equal(labels, indices % 2)
    np.testing.assert_array_equal(others, np.roll(indices, 1) % 2)
    whole = standardized(examples, info)
    fraction = fractions[:, None, None, None]
    expected = fraction * whole[indices] + (1 - fraction) * whole[np.roll(indices, 1)]
    half_level = 0.501 / 255.0 / np.array(info.features["image"].std)
    assert np.all(np.abs(info.model_inputs(inputs)["image"] - expected) < half_level)
    mixed_weights = fractions * weights[labels] + (1 - fractions) * weights[others]
    np.testing.assert_allclose(targets["loss_weights"], targets["weights"] * mixed_weights, rtol=1e-5)


def test_an_image_that_is_damaged_while_it_is_needed_is_named(tmp_path):
    examples, info = image_examples(3)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, examples.encoded["image"], strict=True):
        path.write_bytes(tf.io.encode_png(image).numpy())
    column = np.array([str(path) for path in paths], object)
    examples = dataclasses.replace(examples, encoded={**examples.encoded, "image": column})
    plans = pipeline.evaluation_plans(examples, info, BatchSizes(3))
    paths[1].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1\.png: cannot be decoded \("):
        list(batches(examples, info, plans))
