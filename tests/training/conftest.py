import tensorflow as tf

# Two logical CPUs for the tests of replicas: only possible before TensorFlow uses its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
