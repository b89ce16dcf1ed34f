"""openpi's JAX checkpoints (Orbax), read with tensorstore alone: without JAX, on any machine.

Layout: `params/_METADATA` names every array by its path in the tree; the arrays themselves lie in
one OCDBT database beside it (or, in older ones, a folder each), as zarr or zarr3. What is particular
to the machine that wrote it (`_sharding`) is not read. A training checkpoint ends every path with
`value` (flax's state), a released one does not: the names given here have neither that nor the
root `params`, so `PaliGemma/llm/embedder/input_embedding` in both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policies.checkpoint.tensors import TensorInfo
from policies.extra import extra_missing
from robotd.errors import CheckpointError

METADATA = "_METADATA"
OCDBT = "manifest.ocdbt"
_ROOT, _VALUE = "params", "value"
_UNFINISHED = ".orbax-checkpoint-tmp"

Layout = Literal["released", "training"]


@dataclass(frozen=True, slots=True)
class OrbaxParams:
    """The arrays under one `params/` folder: `infos` by name, `read` for one of them."""

    folder: Path
    layout: Layout
    infos: Mapping[str, TensorInfo]
    _stores: Mapping[str, Any]

    def read(self, name: str) -> npt.NDArray[Any]:
        """One whole array as it is stored (bfloat16 as ml_dtypes' type). Raises CheckpointError."""
        try:
            array: npt.NDArray[Any] = np.asarray(self._stores[name].read().result())
        except KeyError:
            raise
        except Exception as error:
            # tensorstore raises ValueError, RuntimeError or OSError, after what it found.
            raise _unreadable(self.folder, f"{name}: {_first_line(error)}") from error
        return array


def is_params(folder: Path) -> bool:
    """Whether a folder is an Orbax item that can be read here."""
    return (folder / METADATA).exists()


def open_params(folder: Path) -> OrbaxParams:
    """Open a `params/` folder; reads shapes and no numbers. Raises CheckpointError."""
    folder = folder.expanduser().absolute()
    if _UNFINISHED in str(folder):
        raise CheckpointError(
            f"{folder} is a checkpoint that was never finished.",
            "Training was stopped while Orbax was saving; it renames the folder at the end.",
            "Use the step before it.",
        )
    tree, zarr3 = _tree(folder)
    stores = _open(folder, {".".join(keys): keys for keys in tree}, zarr3)
    training = all(keys[-1] == _VALUE for keys in tree)
    named = {_name(tuple(store_keys)): store for store_keys, store in stores}
    return OrbaxParams(
        folder=folder,
        layout="training" if training else "released",
        infos={
            name: TensorInfo(tuple(int(n) for n in store.shape), str(store.dtype.name))
            for name, store in named.items()
        },
        _stores=named,
    )


def read_params(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Every array of a checkpoint (its folder or its `params/`), by name. Raises CheckpointError."""
    params = open_params(folder if is_params(folder) else folder / _ROOT)
    return {name: params.read(name) for name in params.infos}


def _tree(folder: Path) -> tuple[list[tuple[str, ...]], bool]:
    """The path of every array, and whether they are zarr3."""
    try:
        content = json.loads((folder / METADATA).read_bytes())
        entries = content["tree_metadata"].values()
        tree = [tuple(str(key["key"]) for key in entry["key_metadata"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / METADATA} cannot be read: {error}.",
            "The folder was copied in part, or was not written by Orbax.",
            "Copy the checkpoint again, with every file of params/.",
        ) from error
    if not tree:
        raise _unreadable(folder, f"{METADATA} names no array")
    return tree, bool(content.get("use_zarr3", False))


def _open(
    folder: Path, names: Mapping[str, tuple[str, ...]], zarr3: bool
) -> list[tuple[tuple[str, ...], Any]]:
    try:
        import tensorstore
    except ImportError as error:
        raise extra_missing(error) from error
    database = (folder / OCDBT).exists()
    if not database and not any((folder / name).exists() for name in names):
        raise _unreadable(folder, f"there is no {OCDBT} and no folder of an array")
    folder = folder.absolute().resolve()  # TensorStore takes neither `..` nor a relative path
    context = tensorstore.Context()
    base = {"driver": "file", "path": f"{folder}/"}
    pending = []
    for name, keys in names.items():
        kvstore: dict[str, Any] = {"driver": "file", "path": f"{folder}/{name}/"}
        if database:
            kvstore = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
        # A chunk that is not there would be read as zeros: weights that are silently nothing.
        driver = "zarr3" if zarr3 else "zarr"
        spec = {"driver": driver, "kvstore": kvstore, "fill_missing_data_reads": False}
        pending.append((keys, tensorstore.open(spec, open=True, read=True, context=context)))
    opened = []
    for keys, future in pending:
        try:
            opened.append((keys, future.result()))
        except Exception as error:  # see OrbaxParams.read
            raise _unreadable(folder, f"{'/'.join(keys)}: {_first_line(error)}") from error
    return opened


def _name(keys: tuple[str, ...]) -> str:
    if keys[0] == _ROOT and len(keys) > 1:
        keys = keys[1:]
    if keys[-1] == _VALUE and len(keys) > 1:
        keys = keys[:-1]
    return "/".join(keys)


def _first_line(error: Exception) -> str:
    return str(error).split(" [", 1)[0].splitlines()[0][:300]


def _unreadable(folder: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} cannot be read ({how}).",
        "A file of the database (d/, ocdbt.process_*/) is missing or was cut short in a copy.",
        "Copy the checkpoint again, with every file of params/, and compare the sizes.",
    )
