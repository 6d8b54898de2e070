#!/usr/bin/env python3
"""Checks that the safetensors library and Ebb read each other's files.

  with_safetensors.py write DIRECTORY    writes theirs-numpy.safetensors and, with PyTorch, theirs-torch.safetensors
  with_safetensors.py read DIRECTORY     compares ours-* and sharded-*, which Ebb made of them; and resnet18.safetensors

Exits with 77 if the library or NumPy is missing.
"""
import json
import os
import sys

try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)
try:
    import safetensors.torch
    import torch
except ImportError:
    torch = None

KINDS = {'BOOL': '?', 'U8': 'u1', 'I8': 'i1', 'U16': 'u2', 'I16': 'i2', 'U32': 'u4', 'I32': 'i4', 'U64': 'u8',
         'I64': 'i8', 'F16': 'f2', 'F32': 'f4', 'F64': 'f8'}
METADATA = {'author': 'gewölbe ✓', 'quote "x"': 'line\nbreak\\', 'empty': ''}


def arrays():
    random = numpy.random.default_rng(1)
    all_of_them = {}
    for name, kind in KINDS.items():
        for shape in ((), (0,), (3, 0, 2), (1,), (7,), (2, 3), (2, 3, 1, 5)):
            x = random.normal(0, 50, shape)
            if kind[0] == 'u':
                x = numpy.abs(x)
            if kind == 'i1':
                x = numpy.clip(x, -100, 100)
            all_of_them[f'{name}.{"x".join(map(str, shape))}'] = numpy.asarray(x).astype(kind)
    all_of_them['größe.重み.🐟'] = numpy.arange(5, dtype='f4')
    all_of_them['a "b"\\c\t'] = numpy.arange(2, dtype='i8')
    all_of_them['extremes'] = numpy.array([numpy.nan, numpy.inf, -numpy.inf, -0.0, 5e-324, 1e308])
    all_of_them['large'] = random.normal(size=(301, 501)).astype('f4')
    all_of_them['u64'] = numpy.array([2 ** 64 - 1, 0], dtype='u8')
    return all_of_them


def tensors():
    x = torch.linspace(-300, 300, 1001)
    both = {'f32': x, 'i64': torch.arange(4).reshape(2, 2)}
    for kind in ('float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'):
        if hasattr(torch, kind):
            both[kind] = x.to(getattr(torch, kind))
            both[kind + '.odd'] = x[:3].to(getattr(torch, kind))
    return both


def load_numpy(path):
    """The type, shape and bytes of each tensor, and the metadata."""
    with safetensors.safe_open(path, 'numpy') as f:
        found = {k: f.get_tensor(k) for k in f.keys()}
        return {k: (str(x.dtype), x.shape, x.tobytes()) for k, x in found.items()}, f.metadata()


def load_torch(path):
    with safetensors.safe_open(path, 'pt') as f:
        found = {k: f.get_tensor(k) for k in f.keys()}
        return {k: (str(x.dtype), tuple(x.shape), x.reshape(-1).view(torch.uint8).numpy().tobytes())
                for k, x in found.items()}, f.metadata()


def compare(what, expected, found):
    wrong = [k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)]
    for k in wrong[:10]:
        print(f'FAILED: {what}: {k!r}: {str(expected.get(k))[:200]}, found {str(found.get(k))[:200]}')
    return len(expected) - len(wrong), len(wrong)


def compare_all(directory, kind, load):
    """Compares what the library reads from its own file, from Ebb's copy, and from Ebb's shards."""
    def at(name):
        return os.path.join(directory, f'{name}-{kind}.safetensors')
    expected, metadata = load(at('theirs'))
    found, found_metadata = load(at('ours'))
    passed, failed = compare(f'ours, {kind}', expected, found)
    failed += compare(f'metadata, {kind}', metadata, found_metadata)[1]
    with open(at('sharded') + '.index.json', encoding='utf-8') as f:
        index = json.load(f)['weight_map']
    shards = {}
    for name in sorted(set(index.values())):
        part = load(os.path.join(directory, name))[0]
        failed += sum(index[k] != name for k in part)
        shards.update(part)
    more = compare(f'shards, {kind}', expected, shards)
    return passed + more[0], failed + more[1]


def strict_load(path):
    """PyTorch's ResNet loads the parameters that a store saved, by name."""
    try:
        import torchvision
    except ImportError:
        return 0, 0
    net = torchvision.models.resnet18()
    missing, unexpected = net.load_state_dict(safetensors.torch.load_file(path), strict=False)
    missing = [name for name in missing if not name.endswith('num_batches_tracked')]
    for name in missing + unexpected:
        print('FAILED: torchvision resnet18:', name)
    return (0, 1) if missing or unexpected else (1, 0)


def main():
    mode, directory = sys.argv[1:3]
    if mode == 'write':
        safetensors.numpy.save_file(arrays(), os.path.join(directory, 'theirs-numpy.safetensors'), METADATA)
        if torch:
            safetensors.torch.save_file(tensors(), os.path.join(directory, 'theirs-torch.safetensors'), METADATA)
        return 0
    results = [compare_all(directory, 'numpy', load_numpy)]
    if torch:
        results += [compare_all(directory, 'torch', load_torch),
                    strict_load(os.path.join(directory, 'resnet18.safetensors'))]
    passed, failed = map(sum, zip(*results))
    print(f'{passed} passed, {failed} failed')
    return failed > 0


sys.exit(main())
