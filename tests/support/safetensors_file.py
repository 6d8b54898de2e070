"""Writes torch's tensors as a safetensors file, for scripts that make reference values."""
import json
import struct

import torch

KINDS = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}


def write(path, tensors, metadata=None):
    """The header's length in 8 bytes, the header as JSON, padded to a multiple of 8, and the tensors' bytes."""
    header, at = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, x in tensors.items():
        size = x.numel() * x.element_size()
        header[name] = {"dtype": KINDS[x.dtype], "shape": list(x.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            file.write(x.detach().contiguous().numpy().tobytes())
