"""Makes tests quick: graphs run as they were traced, as optimizing them takes longer than running them.

What XLA compiles, and processes that are no fork of the tests' own, are as users have them.
"""

import tensorflow as tf

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
