"""Nested state dictionaries as safetensors and JSON: files that cannot run code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Nested = dict[str, Any]


def save_state(folder: Path, name: str, state: Nested) -> None:
    """Write tensors to `name`.safetensors and all else to `name`.json."""
    tensors: dict[str, torch.Tensor] = {}
    rest = _without_tensors(state, "", tensors)
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(rest, indent=1))


def load_state(folder: Path, name: str) -> Nested:
    """What `save_state` wrote."""
    tensors = load_file(folder / f"{name}.safetensors")
    state = _with_tensors(json.loads((folder / f"{name}.json").read_text()), tensors)
    assert isinstance(state, dict)
    return state


def _without_tensors(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        # Pairs, not an object: optimizers number their parameters, and JSON would make those numbers strings.
        return {"items": [[key, _without_tensors(v, f"{path}/{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_without_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    return value


def _with_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "items" in value:
        return {key: _with_tensors(v, tensors) for key, v in value["items"]}
    return [_with_tensors(v, tensors) for v in value["list"]]
