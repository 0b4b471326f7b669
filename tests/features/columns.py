"""Steps that apply to every feature."""

import numpy as np
import tensorflow as tf

from attnzoo.config.sections import FileOptions

OPTIONS = FileOptions(name="table")
LOCATION = "folder/table.csv:7"


def read(feature, value, options=OPTIONS):
    """Returns the value of a record as a feature parses it."""
    return feature.read(LOCATION, "column", value, options)


def learned(feature, values, options=OPTIONS, initial=None):
    """Returns a feature fitted to values of train, and their column."""
    feature = feature.declare([read(feature, value, options) for value in values], "train.csv", "column")
    column = feature.column([read(feature, value, options) for value in values])
    return feature.learn([column], options, initial, "train.csv"), column


def batch(feature, encoded, indices, length=None):
    """Returns a batch as model inputs, made in a graph as in a pipeline."""
    host = feature.host_batch(encoded, np.array(indices, np.int32), length)
    assert feature.host_spec.is_compatible_with(tf.constant(host))
    read_batch = feature.graph_batch(encoded)
    return tf.function(lambda values: feature.prepare(read_batch(values)))(tf.constant(host)).numpy()


def problems(feature):
    """Returns what cannot have been learned."""
    return list(feature.problems("column"))
