"""Keras 3 on TensorFlow: `keras.applications`' network, trained with `fit` as its guide has it.

That is `image_dataset_from_directory`, mirrors and rotations mapped over it beside the training,
the network's own preprocessing, "adam" at its rate of 0.001, cross-entropy. `--batch-norm-momentum`
takes the place of the network's own, which for MobileNetV2 is 0.999: its running statistics take
thousands of steps, and accuracy on the part val is that of chance before. `--policy` is a dtype
policy, "mixed_bfloat16" for example.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from course import given, tell

APPLICATIONS = {
    "mobilenet_v2": (keras.applications.MobileNetV2, keras.applications.mobilenet_v2),
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50),
}
BATCH_SIZE = 32


def main() -> None:
    task = given("--batch-norm-momentum", "--policy")
    keras.utils.set_random_seed(task.seed)
    if task.policy:
        keras.config.set_dtype_policy(task.policy)
    build, module = APPLICATIONS[task.network]
    task.batch_size = task.batch_size or BATCH_SIZE
    train, val = (part(task, name) for name in ("train", "val"))
    tell(
        versions={"keras": keras.__version__, "tensorflow": tf.__version__},
        settings={
            "batch_size": task.batch_size,
            "batch_norm_momentum": task.batch_norm_momentum,
            "policy": keras.config.dtype_policy().name,
        },
    )
    augment = keras.Sequential(
        [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]
    )
    side = task.input_size
    net = build(weights=None, classes=len(train.class_names), input_shape=(side, side, 3))
    if task.batch_norm_momentum:
        for layer in net.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = float(task.batch_norm_momentum)
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = len(train.file_paths)

    def tell_epoch(_: int, logs: dict[str, float]) -> None:
        tell(images=images, top1=logs.get("val_accuracy"))

    net.fit(
        ready(train, lambda x: module.preprocess_input(augment(x, training=True))),
        validation_data=val and ready(val, module.preprocess_input),
        epochs=task.epochs,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=tell_epoch)],
        verbose=0,
    )


def part(task: Any, name: str) -> Any:
    if not (task.photos / name).is_dir():
        return None
    size = (task.input_size, task.input_size)
    return keras.utils.image_dataset_from_directory(
        task.photos / name, image_size=size, batch_size=task.batch_size, seed=task.seed
    )


def ready(data: Any, change: Any) -> Any:
    """Batches changed by threads of their own while others are learnt from."""
    mapped = data.map(lambda x, y: (change(x), y), num_parallel_calls=tf.data.AUTOTUNE)
    return mapped.prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main()
