#!/usr/bin/env python3
"""Saves tensors with every option of torch.save, and compares the output of archive-show.

  with_torch.py SHOW [DIRECTORY]

DIRECTORY keeps the files (default: a temporary one).  Exits with 77 if PyTorch is missing.
"""
import argparse
import collections
import os
import struct
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print('skipped: no PyTorch')
    sys.exit(77)

NAMES = {torch.bool: 'BOOL', torch.uint8: 'U8', torch.int8: 'I8', torch.int16: 'I16', torch.int32: 'I32',
         torch.int64: 'I64', torch.float16: 'F16', torch.bfloat16: 'BF16', torch.float32: 'F32',
         torch.float64: 'F64'}
for kind, name in (('uint16', 'U16'), ('uint32', 'U32'), ('uint64', 'U64'), ('float8_e4m3fn', 'F8_E4M3'),
                   ('float8_e5m2', 'F8_E5M2')):
    if hasattr(torch, kind):
        NAMES[getattr(torch, kind)] = name
OTHER = {}
failures = 0


def escaped(text):
    return ''.join('\\\\' if c == '\\' else f'\\x{ord(c):02x}' if c < ' ' or c == '\x7f' else c for c in text)


def number(x):
    """A number in the format of archive-show: %.17g, or an integer."""
    return str(x) if isinstance(x, int) else '%.17g' % x


def values_of(x):
    x = x.detach().contiguous().reshape(-1)
    if x.dtype.is_floating_point:
        return [number(v) for v in x.to(torch.float64).tolist()]
    return [number(int(v)) for v in x.tolist()]


def checksum(x):
    x = x.detach().reshape(-1)
    floating = x.dtype.is_floating_point
    h = 14695981039346656037
    for v in x.to(torch.float64 if floating else torch.int64).tolist():
        for byte in struct.pack('<d' if floating else '<q', v):
            h = (h ^ byte) * 1099511628211 & (1 << 64) - 1
    return f'fnv1a {h:016x}'


def line_of(name, x):
    shape = ','.join(str(n) for n in x.shape)
    if x.dtype not in NAMES or x.layout is not torch.strided:
        return f'{escaped(name)}\tOTHER\t[{shape}]'
    values = ' '.join(values_of(x)) if x.numel() <= 1000 else checksum(x)
    return f'{escaped(name)}\t{NAMES[x.dtype]}\t[{shape}]\t{values}'


def visit(name, x, entries, metadata):
    """The names of the tensors in a value, and of everything else."""
    join = (name + '.' if name is not None else '')
    here = '' if name is None else name
    if isinstance(x, torch.Tensor):
        entries.append(line_of(here, x))
    elif isinstance(x, dict):
        for key, value in x.items():
            visit(join + (number(key) if isinstance(key, (int, float)) else key), value, entries, metadata)
    elif isinstance(x, argparse.Namespace):
        visit(name, vars(x), entries, metadata)
    elif isinstance(x, (list, tuple)):
        for i, value in enumerate(x):
            visit(join + str(i), value, entries, metadata)
    elif isinstance(x, bool):
        metadata.append(f'{escaped(here)}\t=\t{"true" if x else "false"}')
    elif isinstance(x, (int, float)):
        metadata.append(f'{escaped(here)}\t=\t{number(x)}')
    elif isinstance(x, (str, torch.dtype, torch.device)):
        metadata.append(f'{escaped(here)}\t=\t{escaped(str(x))}')


def show(path):
    run = subprocess.run([SHOW, path], capture_output=True)
    return run.returncode, run.stdout.decode().splitlines()


def check(what, path, value):
    global failures
    entries, metadata = [], []
    visit(None, value, entries, metadata)
    status, lines = show(path)
    # For the type OTHER archive-show prints an error in place of values.
    got = ['\t'.join(line.split('\t')[:3]) if '\tOTHER\t' in line else line for line in lines]
    if status == 0 and got == entries + metadata:
        return
    failures += 1
    print(f'{what}: status {status}')
    for expected, found in zip(entries + metadata + ['-'] * len(got), got + ['-'] * len(entries + metadata)):
        if expected != found and (expected != '-' or found != '-'):
            print(f'  expected {expected[:200]}\n  found    {found[:200]}')


def check_refused(what, path, *words):
    global failures
    status, lines = show(path)
    if status == 1 and all(word in lines[0] for word in words):
        return
    failures += 1
    print(f'{what}: status {status}, expected a refusal with {words}: {lines[:3]}')


def path_of(what, *options):
    return os.path.join(DIRECTORY, '-'.join([what, *[str(option) for option in options]]).replace(' ', '_') + '.pt')


def try_all(what, value, **options):
    """Saves in both formats, with each pickle protocol."""
    for zipped in (True, False):
        for protocol in (2, 3, 4, 5):
            path = path_of(what, 'zip' if zipped else 'legacy', protocol)
            try:
                torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
            except (RuntimeError, NotImplementedError) as error:
                print(f'{what}: PyTorch does not save it: {error}')
                continue
            check(f'{what}, {"zip" if zipped else "legacy"}, protocol {protocol}', path, value)


def numbers(dtype, *shape):
    n = 1
    for size in shape:
        n *= size
    x = torch.arange(n, dtype=torch.float64).reshape(shape) * 0.75 - 3
    if not dtype.is_floating_point:
        x = x.abs().floor() % 100
    return x.to(dtype)


def dtypes():
    for dtype, name in NAMES.items():
        try_all('dtype-' + name, {'x': numbers(dtype, 3, 4), 'none': numbers(dtype, 0, 2)})
    limits = {'i8': torch.tensor([-128, 127], dtype=torch.int8),
              'i64': torch.tensor([-2**63, 2**63 - 1]),
              'f64': torch.tensor([5e-324, 1.7976931348623157e308, -0.0], dtype=torch.float64),
              'f32': torch.tensor([1e-45, 3.4028234663852886e38, float('inf')]),
              'f16': torch.tensor([6e-8, 65504, -float('inf')], dtype=torch.float16),
              'bf16': torch.tensor([1e-40, 3e38], dtype=torch.bfloat16),
              'bool': torch.tensor([True, False, True])}
    try_all('limits', limits)


def views():
    x = numbers(torch.float32, 4, 6)
    y = numbers(torch.float64, 2, 3, 4, 5)
    value = {'whole': x, 'transposed': x.t(), 'sliced': x[1:3, 2:5], 'stepped': x[::2, ::3], 'row': x[2],
             'scalar': x[1, 1], 'expanded': x[:1].expand(5, 6), 'permuted': y.permute(3, 0, 2, 1),
             'channels_last': y.contiguous(memory_format=torch.channels_last), 'empty': x[2:2],
             'no axes': torch.tensor(2.5), 'one': torch.ones(1, 1, 1), 'eight': torch.ones((1,) * 7 + (2,)),
             'strided': torch.as_strided(x, (3, 3), (2, 7), 1), 'untied': x.clone()}
    try_all('views', value)


def trees():
    deep = x = torch.ones(2)
    for i in range(20):
        deep = {f'level{i}': deep} if i % 2 else [deep]
    shared = [x, 1]
    try_all('trees', {'deep': deep, 'tuple': (1, 'two', 3.0, None, True, [x]), 'shared': shared, 'again': shared,
                      7: x, -1: 2, 'empty': {}, 'no list': [], 'ordered': collections.OrderedDict(a=x, b=1)})
    try_all('one', torch.arange(6).reshape(2, 3))
    try_all('list', [torch.ones(2), torch.zeros(1, dtype=torch.int16)])
    try_all('nothing', {})
    try_all('many', {f'layer{i}.weight': torch.full((3,), float(i)) for i in range(700)})


def texts():
    x = torch.ones(1)
    try_all('unicode', {'größe': x, '重み': x, '😀.gewicht': x, 'a\tb': 'c\nd\\e', 'tab\t': x, 'greek': 'αβγ',
                        'long': 'z' * 300, 'k' * 300: x})
    try_all('numbers', {'big': 2**31, 'bigger': 2**62, 'negative': -2**40, 'seed': 2**64 - 1, 'byte': 255,
                        'short': 65535, 'zero': 0, 'least': -2**63, 'float': 0.1, 'inf': float('inf'),
                        'tiny': 5e-324, 'third': 1 / 3, 'true': True, 'dtype': torch.bfloat16, 'list': [1, 2.5]})


def models():
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(),
                              torch.nn.Linear(8 * 36, 10))
    net[4].weight.requires_grad_(False)
    optimizers = {'sgd': torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
                  'adam': torch.optim.Adam(net.parameters(), amsgrad=True),
                  'rmsprop': torch.optim.RMSprop(net.parameters(), momentum=0.1)}
    for name, optimizer in optimizers.items():
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.randn(4, 3, 8, 8)).square().mean().backward()
            optimizer.step()
            schedule.step()
        try_all('checkpoint-' + name, {
            'epoch': 3, 'model': net.state_dict(), 'optimizer': optimizer.state_dict(),
            'schedule': schedule.state_dict(), 'args': argparse.Namespace(lr=0.1, arch='small', steps=[1, 2]),
            'rng': torch.get_rng_state(), 'best': 0.75})
    try_all('state-dict', net.state_dict())
    try_all('parameters', {'weight': net[0].weight, 'frozen': torch.nn.Parameter(torch.ones(2), False),
                           'list': list(net.parameters()), 'rate': torch.nn.Parameter(torch.tensor(2.0))})
    for zipped in (True, False):
        path = path_of('module', zipped)
        torch.save(net, path, _use_new_zipfile_serialization=zipped)
        check_refused('a module', path, 'torch.nn.modules.container.Sequential', 'model.state_dict()')
    path = path_of('script')
    torch.jit.script(net).save(path)
    check_refused('a TorchScript program', path, 'TorchScript')


def others():
    x = torch.ones(3)
    value = {'x': x, 'complex': torch.zeros(2, 3, dtype=torch.complex64), 'double': torch.zeros(1, dtype=torch.complex128),
             'quantized': torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8),
             'sparse': torch.eye(3).to_sparse(), 'meta': torch.empty(2, 5, device='meta'), 'last': x}
    value['meta'] = value['meta'] if torch.__version__ >= '2' else x
    entries = ['x\tF32\t[3]\t1 1 1', 'complex\tOTHER\t[2,3]', 'double\tOTHER\t[1]', 'quantized\tOTHER\t[4]',
               'sparse\tOTHER\t[3,3]', 'meta\tOTHER\t[2,5]' if value['meta'] is not x else 'meta\tF32\t[3]\t1 1 1',
               'last\tF32\t[3]\t1 1 1']
    for zipped in (True, False):
        path = path_of('others', zipped)
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        status, lines = show(path)
        got = ['\t'.join(line.split('\t')[:3]) if '\tOTHER\t' in line else line for line in lines]
        if status != 0 or got != entries:
            print(f'others: status {status}\n  expected {entries}\n  found    {lines}')
            global failures
            failures += 1
    path = path_of('expanded')
    torch.save({'huge': torch.zeros(1).expand(10**6, 10**6), 'x': x}, path)
    status, lines = show(path)
    if status != 0 or not lines[0].startswith('huge\tOTHER\t[1000000,1000000]') or lines[1:] != ['x\tF32\t[3]\t1 1 1']:
        print('expanded:', status, lines)
        failures += 1


class Caller:
    def __reduce__(self):
        return os.system, ('touch ' + os.path.join(DIRECTORY, 'called'),)


def hostile():
    for zipped in (True, False):
        for protocol in (2, 4):
            path = path_of('caller', zipped, protocol)
            torch.save({'x': torch.ones(1), 'y': Caller()}, path, pickle_protocol=protocol,
                       _use_new_zipfile_serialization=zipped)
            check_refused('a call', path, '.system', 'nothing was executed')
    if os.path.exists(os.path.join(DIRECTORY, 'called')):
        print('the call was executed')
        sys.exit(1)


SHOW = sys.argv[1]
with tempfile.TemporaryDirectory() as temporary:
    DIRECTORY = sys.argv[2] if len(sys.argv) > 2 else temporary
    os.makedirs(DIRECTORY, exist_ok=True)
    for part in (dtypes, views, trees, texts, models, others, hostile):
        part()
    print(f'PyTorch {torch.__version__}: {len(os.listdir(DIRECTORY))} files, {failures} failures')
sys.exit(failures > 0)
