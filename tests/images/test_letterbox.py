import numpy as np
import pytest
import tensorflow as tf

from attnzoo.images import letterbox, pixels

CANVAS = (37, 53)


def sizes(count=300):
    generator = np.random.default_rng(3)
    return generator.integers(1, 4000, count), generator.integers(1, 4000, count)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_boxes_come_back_from_the_canvas_and_the_graph_agrees(resize):
    height, width = sizes()
    corners = np.sort(np.random.default_rng(5).random((len(height), 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4) * np.stack([width, height, width, height], axis=1)
    fractions = letterbox.to_canvas(boxes, height, width, CANVAS, resize)
    assert fractions.min() >= 0.0
    assert fractions.max() <= 1.0
    np.testing.assert_allclose(
        letterbox.to_pixels(fractions, height, width, CANVAS, resize), boxes, atol=1e-8
    )

    @tf.function
    def there_and_back(boxes, height, width):
        placed = letterbox.to_canvas(boxes, height, width, CANVAS, resize)
        return placed, letterbox.to_pixels(placed, height, width, CANVAS, resize)

    placed, back = there_and_back(*map(tf.constant, (boxes, height, width)))
    np.testing.assert_allclose(placed, fractions, atol=1e-12)
    np.testing.assert_allclose(back, boxes, atol=1e-8)


def test_a_letterbox_keeps_the_aspect_ratio_fills_one_side_and_is_centered():
    height, width = sizes()
    rows, columns = letterbox.content_size(height, width, CANVAS, "letterbox")
    place = letterbox.placement(height, width, CANVAS, "letterbox")
    scale = np.minimum(CANVAS[0] / height, CANVAS[1] / width)
    np.testing.assert_array_less(abs(rows - np.maximum(1, scale * height)), 0.5001)
    np.testing.assert_array_less(abs(columns - np.maximum(1, scale * width)), 0.5001)
    assert np.all((rows == CANVAS[0]) | (columns == CANVAS[1]))
    assert np.all(abs(2 * place.top + rows - CANVAS[0]) <= 1)
    assert np.all(abs(2 * place.left + columns - CANVAS[1]) <= 1)


@pytest.mark.parametrize(("height", "width"), [(10, 40), (40, 10), (3, 3), (37, 53), (1, 400)])
def test_pixels_are_where_the_boxes_are_and_the_bars_have_their_color(height, width):
    image = tf.fill([height, width, 3], tf.constant(200, tf.uint8))
    canvas = pixels.resize(image, (*CANVAS, 3), (0.25, 0.0, 0.5)).numpy()
    box = letterbox.to_canvas(np.array([0.0, 0.0, width, height]), height, width, CANVAS, "letterbox")
    left, top, right, bottom = np.rint(box * [CANVAS[1], CANVAS[0], CANVAS[1], CANVAS[0]]).astype(int)
    content = np.zeros(CANVAS, bool)
    content[top:bottom, left:right] = True
    assert np.all(canvas[content] == 200)
    assert np.all(canvas[~content] == [64, 0, 128])


def test_large_images_do_not_overflow():
    place = letterbox.placement(50_000_000, 1, (512, 512), "letterbox")
    assert (place.top, place.left) == (0, 255)
    in_graph = letterbox.placement(
        tf.constant(50_000_000, tf.int64), tf.constant(1, tf.int64), (512, 512), "letterbox"
    )
    assert (int(in_graph.top), int(in_graph.left)) == (0, 255)
