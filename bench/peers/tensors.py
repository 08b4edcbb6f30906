"""Reads what peer_engine writes: a safetensors file of F32 tensors and the description of its case."""

import json
import struct

import torch


def read_case(path):
    """(description, {name: tensor}) of a file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    description = json.loads(header.pop("__metadata__")["case"])
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"{path}: tensor {name} is {entry['dtype']}"
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = values.reshape(entry["shape"]).clone()
    return description, tensors
