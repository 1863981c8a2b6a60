"""Weight files: names and layout, complete loading, and errors for files that do not fit."""

import json
import os
import resource
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn import network, weights
from mrcnn.weights import atomic
from tests.mrcnn.conftest import TinyConfig

GOLDEN = Path("../shared/golden")


@pytest.fixture(scope="module")
def model():
    return network.inference_network(TinyConfig())


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "weights.h5"
    weights.save(model, path)
    return path


def load(model, path, exclude=()):
    return weights.load(model, weights.read_file(path), str(path), exclude)


def disturb(model):
    before = {key: variable.numpy() for key, variable in weights.network_tensors(model).items()}
    for variable in weights.network_tensors(model).values():
        variable.assign(variable.numpy() + 1)
    return before


def test_saved_weights_can_be_loaded(model, file):
    before = disturb(model)
    assert load(model, file) == len(before)
    assert all((variable.numpy() == before[key]).all() for key, variable in weights.network_tensors(model).items())


def test_training_and_inference_have_the_same_tensors(model):
    training = weights.network_tensors(network.training_network(TinyConfig()))
    assert {key: value.shape for key, value in training.items()} == {
        key: value.shape for key, value in weights.network_tensors(model).items()
    }


def test_the_rpn_s_layers_are_in_one_group(file):
    with h5py.File(file) as content:
        names = [name.decode() for name in content["rpn_model"].attrs["weight_names"]]
        assert names[:2] == ["rpn_conv_shared/kernel:0", "rpn_conv_shared/bias:0"]
        assert b"rpn_model" in content.attrs["layer_names"]
        assert content["rpn_model/rpn_conv_shared/kernel:0"].shape == (3, 3, 16, 16)


def test_the_root_may_be_a_group_model_weights(model, file):
    with h5py.File(file, "a") as content:
        root = content.create_group("model_weights")
        for name in [name for name in content if name != "model_weights"]:
            content.move(name, f"model_weights/{name}")
        root.attrs["layer_names"] = content.attrs["layer_names"]
    assert load(model, file) > 0


def test_every_difference_is_listed_and_nothing_is_loaded(model, file):
    with h5py.File(file, "a") as content:
        del content["conv1/conv1/bias:0"]
        del content["mrcnn_mask/mrcnn_mask/kernel:0"]
        content["mrcnn_mask/mrcnn_mask/kernel:0"] = np.zeros((1, 1, 8, 81))
        content["res9z/res9z/kernel:0"] = np.zeros(3)
    before = disturb(model)
    with pytest.raises(weights.WeightsError) as fault:
        load(model, file)
    for part in ("1 missing in the file: conv1/bias", "res9z/kernel", "mrcnn_mask/kernel (1, 1, 8, 81)"):
        assert part in str(fault.value)
    after = {key: variable.numpy() for key, variable in weights.network_tensors(model).items()}
    assert all((after[key] == before[key] + 1).all() for key in after)


def test_excluded_layers_keep_their_weights_and_may_differ(model, file):
    with h5py.File(file, "a") as content:
        del content["mrcnn_mask"]
        del content["rpn_model"]
    before = disturb(model)
    load(model, file, exclude=["mrcnn_mask", "rpn_model", "mrcnn_bbox"])
    now = weights.network_tensors(model)
    assert (now["mrcnn_mask", "bias"].numpy() == before["mrcnn_mask", "bias"] + 1).all()
    assert (now["conv1", "kernel"].numpy() == before["conv1", "kernel"]).all()


def test_excluding_an_unknown_layer_is_an_error(model, file):
    with pytest.raises(ValueError, match="mrcnn_maks"):
        load(model, file, exclude=["mrcnn_maks"])


def test_weights_of_a_backbone_keep_the_heads_and_must_be_complete(model, file):
    with h5py.File(file, "a") as content:
        for name in [name for name in content if weights.HEADS.match(name)]:
            del content[name]
    before = disturb(model)
    load(model, file)
    now = weights.network_tensors(model)
    assert (now["conv1", "kernel"].numpy() == before["conv1", "kernel"]).all()
    assert (now["mrcnn_mask", "kernel"].numpy() == before["mrcnn_mask", "kernel"] + 1).all()
    with h5py.File(file, "a") as content:
        del content["res5a_branch2a"]
    with pytest.raises(weights.WeightsError, match="res5a_branch2a/kernel"):
        load(model, file)


def test_other_files_are_rejected(model, tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(weights.WeightsError, match="not a readable HDF5"):
        weights.read_file(path)
    with h5py.File(path, "w") as content:
        content["something"] = 1
    with pytest.raises(weights.WeightsError, match="no layer weights"):
        weights.read_file(path)
    with pytest.raises(FileNotFoundError):
        weights.read_file(tmp_path / "absent.h5")


def test_a_malicious_file_is_rejected_and_not_executed(model, file, tmp_path):
    """The part that Keras would unpickle (a configuration with a Lambda layer) is not read."""
    with h5py.File(file, "a") as content:
        content.attrs["model_config"] = json.dumps({"class_name": "Lambda", "config": {"function": "not read"}})
        content["elsewhere"] = h5py.ExternalLink(str(tmp_path / "absent.h5"), "/")
    assert load(model, file) > 0
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", (4,))
    hostile = {
        "claims to be": {"shape": (2**20, 2**20), "dtype": "float32", "chunks": (1024, 1024)},
        "not numeric": {"data": np.array([b"os.system"], object), "dtype": h5py.string_dtype()},
        "stored in other files": {"shape": (4,), "dtype": "float32", "external": [(str(tmp_path / "raw"), 0, 16)]},
        "stored in other": layout,
    }
    for message, dataset in hostile.items():
        with h5py.File(file, "a") as content:
            del content["conv1/conv1/bias:0"]
            if isinstance(dataset, dict):
                content.create_dataset("conv1/conv1/bias:0", **dataset)
            else:
                content.create_virtual_dataset("conv1/conv1/bias:0", dataset)
        with pytest.raises(weights.WeightsError, match=message):
            weights.read_file(file)


def test_tensors_that_do_not_fit_are_not_read(model, file):
    """A few bytes can declare gigabytes: a fill value that was never written, or compression."""
    with h5py.File(file, "a") as content:
        del content["conv1/conv1/bias:0"]
        for number in range(9):
            content.create_dataset(f"mrcnn_huge/huge_{number}/kernel:0", (2**27,), "float32", chunks=(2**20,))
    with pytest.raises(weights.WeightsError, match="too large for a weight"):
        weights.read_file(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        weights.opened_file(file) as stored,
        pytest.raises(weights.WeightsError, match=r"9 not in the network: huge_0"),
    ):
        weights.matching_variables(model, stored, str(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_a_tensor_with_chunks_much_larger_than_itself_is_rejected(file):
    with h5py.File(file, "a") as content:
        del content["conv1/conv1/bias:0"]
        content.create_dataset("conv1/conv1/bias:0", (8,), "float32", chunks=(2**28,), maxshape=(None,))
    with pytest.raises(
        weights.WeightsError, match=r"conv1/bias:0 claims to be stored in chunks of 1,073,741,824 bytes"
    ):
        weights.read_file(file)


def test_a_file_whose_root_is_a_tensor_is_rejected(tmp_path):
    with h5py.File(tmp_path / "odd.h5", "w") as content:
        content["model_weights"] = np.zeros(3)
        content["conv1/conv1/kernel:0"] = h5py.Empty("float32")
    with pytest.raises(weights.WeightsError, match=r"odd\.h5 holds no layer weights"):
        weights.read_file(tmp_path / "odd.h5")
    with h5py.File(tmp_path / "odd.h5", "a") as content:
        del content["model_weights"]
    with pytest.raises(weights.WeightsError, match=r"odd\.h5: .*kernel:0 holds nothing"):
        weights.read_file(tmp_path / "odd.h5")


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
def test_any_damage_raises_a_weights_error(tmp_path_factory, damage):
    path = tmp_path_factory.getbasetemp() / "damaged.h5"
    with h5py.File(path, "w") as content:
        for layer in ("conv1", "rpn_model", "mrcnn_mask"):
            content[f"{layer}/{layer}/kernel:0"] = np.ones((3, 3, 2, 2), np.float32)
            content.create_dataset(f"{layer}/{layer}/bias:0", data=np.ones(99), chunks=(9,), compression="gzip")
    found = bytearray(path.read_bytes())
    for place, value in damage:
        found[int(place * len(found))] = value
    path.write_bytes(found)
    with suppress(weights.WeightsError):
        weights.read_file(path)


def test_a_full_disk_raises_before_anything_is_written(model, tmp_path, monkeypatch):
    """HDF5 itself ends the process on a full disk."""
    size = sum(4 * variable.numpy().size for variable in weights.network_tensors(model).values())
    for room in (size, size + 2 * atomic.MARGIN):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: SimpleNamespace(free=room))
        if room == size:
            with pytest.raises(OSError, match=r"No space left on device: '.*weights\.h5'"):
                weights.save(model, tmp_path / "weights.h5")
            assert not list(tmp_path.iterdir())
    weights.save(model, tmp_path / "weights.h5")
    assert (tmp_path / "weights.h5").stat().st_size < size + atomic.MARGIN


def test_files_are_written_atomically(model, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(weights, "_write", fail)
    with pytest.raises(OSError, match="no space"):
        weights.save(model, tmp_path / "weights.h5")
    assert not list(tmp_path.iterdir())


def test_weights_that_a_file_can_not_hold_are_named(tmp_path):
    """Two weights with the same name in a layer: the second would replace the first."""

    class Twins(keras.layers.Layer):
        def build(self, input_shape):
            self.first, self.second = (self.add_weight((2,), name="twin") for _ in range(2))

        def call(self, features):
            return features

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, Twins(name="twins")(image))
    with pytest.raises(weights.WeightsError, match="twins/twin"):
        weights.save(model, tmp_path / "lost.h5")
    assert not list(tmp_path.iterdir())


def test_unknown_tensors_are_reported(model, file):
    with h5py.File(file, "a") as content:
        content["conv1/conv1/alpha:0"] = np.zeros(3, np.float32)
    with pytest.raises(weights.WeightsError, match="1 not in the network: conv1/alpha"):
        load(model, file)


def test_save_weights_of_the_network_writes_matterport_s_layout(model, file, tmp_path):
    path = tmp_path / "saved.h5"
    model.save_weights(str(path))
    saved, expected = weights.read_file(path), weights.read_file(file)
    assert saved.keys() == expected.keys()
    assert all((saved[key] == expected[key]).all() for key in expected)
    with pytest.raises(FileExistsError, match=r"saved\.h5 exists"):
        model.save_weights(path, overwrite=False)


def test_the_file_of_keras_checkpoint_callback_can_be_loaded(model, file, tmp_path):
    """Keras gives no other name than one that ends in .weights.h5."""
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.weights.h5"), save_weights_only=True)
    callback.set_model(model)
    callback.on_epoch_end(0, {"loss": 1.0})
    kernel = model.get_layer("conv1").kernel
    before = kernel.numpy()
    kernel.assign(before + 1.0)
    model.load_weights(str(tmp_path / "best.weights.h5"), by_name=True)
    assert (kernel.numpy() == before).all()


def test_keras_own_layout_is_chosen_by_its_name_or_arguments(model, tmp_path):
    model.save_weights(str(tmp_path / "keras.weights.json"), max_shard_size=1)
    assert len(list(tmp_path.glob("keras*.h5"))) == 1
    model.load_weights(str(tmp_path / "keras.weights.json"))


def test_nested_models_anchors_and_numbered_names_are_read(model, file, tmp_path):
    """As written by ports to TensorFlow 2, with anchors; and with names numbered by Keras 2."""
    with h5py.File(file, "a") as content:
        content["anchors/Variable:0"] = np.zeros((5, 4), np.float32)
        content["conv1"].move("conv1", "conv1_1")
    assert load(model, file)

    image = keras.Input((4, 4, 3))
    inner = keras.Sequential([keras.layers.Conv2D(2, 1, name="only")], name="inner")
    nested = keras.Model(image, inner(image))
    weights.save(nested, tmp_path / "nested.h5")
    before = inner.layers[0].kernel.numpy()
    inner.layers[0].kernel.assign(before + 1.0)
    load(nested, tmp_path / "nested.h5")
    assert (inner.layers[0].kernel.numpy() == before).all()


def test_no_file_that_a_link_names_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name in ("model_weights", "conv1"):
        with h5py.File(tmp_path / "linked.h5", "w") as content:
            content[name] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
        with pytest.raises(weights.WeightsError, match="no layer weights"):
            weights.read_file(tmp_path / "linked.h5")
