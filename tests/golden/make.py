#!/usr/bin/env python3
"""Makes golden vectors: values, gradients and second derivatives by PyTorch in double precision.

Called by script/golden, which documents the arguments.  The cases of elementwise ops come from the
lists kernels/unary.def and kernels/binary.def, the cases of all other ops from cases.py.  The format
of the files is described in files.c.
"""
import argparse
import ast
import os
import random
import subprocess
import sys
import warnings

import torch

import cases

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import safetensors_file  # noqa: E402
VECTORS = os.path.join(ROOT, "tests", "golden", "vectors")


# ---- Cases of the lists --------------------------------------------------------------------------


def rows(name, macro):
    """The rows of kernels/NAME as (op, domain, torch expression), read by the C preprocessor."""
    path = os.path.join(ROOT, "kernels", name)
    if not os.path.exists(path):
        return []
    text = f'#define {macro}(name, domain, torch, ...) @@ name @@ domain @@ torch @@\n#include "{path}"\n'
    cc = os.environ.get("CC", "cc").split()
    done = subprocess.run(cc + ["-E", "-P", "-x", "c", "-I", ROOT, "-"], input=text, text=True,
                          stdout=subprocess.PIPE, check=True)
    cells = [cell.strip() for cell in done.stdout.split("@@")]
    return [(op, domain, ast.literal_eval("(" + expression + ")"))
            for op, domain, expression in zip(cells[1::4], cells[2::4], cells[3::4])]


def formula(expression, names):
    """The Python function of these operands, with torch and torch.nn.functional as F."""
    return eval(f"lambda {names}: {expression}", {"torch": torch, "F": torch.nn.functional})


def usable(function, x):
    """Which elements of x have a finite value, gradient and second derivative."""
    x = x.clone().requires_grad_()
    y = function(x)
    ok = torch.isfinite(y)
    for _ in range(2):
        if not y.requires_grad:
            break
        y, = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
        if y is None:
            break
        ok &= torch.isfinite(y)
    return ok.detach()


# Inputs at which a derivative depends on PyTorch's conventions, or at which an op may be undefined.
CORNERS = [-6, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 6]
# PyTorch's vector loops and its loops over the remainder disagree on the derivative of hardswish at 3.
# A multiple of 32 elements has no remainder.
POINTS = 32


def unary_inputs(op, domain, function, rng):
    """POINTS usable inputs: CORNERS and the corners of the row's domain, then random numbers."""
    own = ast.literal_eval(domain[len("CORNERS"):].strip()[:-1] + ",)") if domain.startswith("CORNERS") else ()
    corners = torch.tensor(sorted({*CORNERS, *own}), dtype=torch.float64)
    ok = usable(function, corners)
    if not ok.all():
        print(f"{op}: left out {', '.join(f'{x:g}' for x in corners[~ok].tolist())}: the value or a "
              "derivative is not finite in PyTorch")
    more = torch.tensor([cases.number(rng, 2) for _ in range(20 * POINTS)], dtype=torch.float64)
    more = more[usable(function, more) & (more.abs() >= 1 / 8)]
    points = torch.cat([corners[ok], more])[:POINTS]
    if len(points) < POINTS:
        sys.exit(f"script/golden: {op}: PyTorch's formula is finite almost nowhere")
    return points


def binary_cases(op, function):
    """Operands that broadcast in both directions, and operands of one shape, some of them equal."""
    for numbers in cases.nonzero, cases.positive:
        made = [cases.Case(op, "broadcast", function, [numbers(2, 1, 4), numbers(3, 1)]),
                cases.Case(op, "equal", function, [cases.exactly(0.5, 2, 1.5, 1, 3, 0.75),
                                                   cases.exactly(0.5, 1, 1.5, 2, -2, 0.75)])]
        if not any(infinite(evaluate(case)) for case in made):
            return made
        print(f"{op}: positive operands only: with others the value or a derivative is not finite in PyTorch")
    sys.exit(f"script/golden: {op}: PyTorch's formula is not finite for positive operands")


def listed_cases(wanted):
    made = []
    for op, domain, expression in filter(wanted, rows("unary.def", "UNARY")):
        row = op, domain, formula(expression, "x")
        made.append(cases.Case(op, "corners", row[-1], [lambda rng, row=row: unary_inputs(*row, rng)]))
    for op, _, expression in filter(wanted, rows("binary.def", "BINARY")):
        made += binary_cases(op, formula(expression, "a, b"))
    return made


# ---- Evaluation ----------------------------------------------------------------------------------


def dense(x):
    """x in memory of its own.  PyTorch 1.13 returns zero tensors without memory as some derivatives."""
    x = x.detach()
    return torch.zeros(x.shape, dtype=x.dtype) if x._is_zerotensor() else x.clone().contiguous()


def evaluate(case):
    """The tensors of the case's file, by name."""
    rng = random.Random(f"{case.op}/{case.name}")
    inputs = [spec(rng) for spec in case.inputs]
    tensors = {f"in.{k}": x.clone() for k, x in enumerate(inputs)}
    wanted = [k for k, x in enumerate(inputs) if x.dtype == torch.float64 and k not in case.constants]
    for k in wanted:
        inputs[k].requires_grad_()
    out = case.formula(*inputs)
    xs = [inputs[k] for k in wanted]
    gout = cases.real(*out.shape)(rng).requires_grad_()
    tensors.update({"out": out, "gout": gout})
    grads = torch.autograd.grad(out, xs, gout, create_graph=True)
    total = 0
    for k, g in zip(wanted, grads):
        tensors[f"grad.{k}"] = g
        tensors[f"v.{k}"] = cases.real(*g.shape)(rng)
        total = total + (g * tensors[f"v.{k}"]).sum()
    second = [None] * (len(xs) + 1)
    if total.requires_grad:
        second = torch.autograd.grad(total, xs + [gout], allow_unused=True)
    # A derivative of a gradient that does not depend on the operand is 0.
    for name, x, h in zip([f"{k}" for k in wanted] + ["gout"], xs + [gout], second):
        tensors[f"hvp.{name}"] = torch.zeros_like(x) if h is None else h
    for k, name in case.buffers.items():
        tensors[f"after.{name}"] = inputs[k]
    return {name: dense(x) for name, x in tensors.items()}


def infinite(tensors):
    """The names of tensors that are not finite everywhere."""
    return [name for name, x in tensors.items() if not torch.isfinite(x.double()).all()]


# ---- Files ---------------------------------------------------------------------------------------


def text(value):
    """The text of an option in the metadata: booleans as 0 or 1, numbers joined by commas."""
    if isinstance(value, (list, tuple)):
        return ",".join(text(v) for v in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def write(path, case, tensors):
    values = {name: x if x.dtype == torch.int64 else x.double() for name, x in tensors.items()}
    safetensors_file.write(path, values, {"op": case.op, **{key: text(value) for key, value in case.options.items()}})


def make(op, of_op, out):
    """Replaces the files of one op."""
    folder = os.path.join(out, op)
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.endswith(".safetensors"):
            os.remove(os.path.join(folder, old))
    for i, case in enumerate(of_op):
        tensors = evaluate(case)
        if infinite(tensors):
            sys.exit(f"script/golden: {op}/{case.name}: {', '.join(infinite(tensors))}: not finite")
        write(os.path.join(folder, f"{i + 1:02}-{case.name}.safetensors"), case, tensors)


def have(op):
    folder = os.path.join(VECTORS, op)
    return os.path.isdir(folder) and any(name.endswith(".safetensors") for name in os.listdir(folder))


def main():
    parser = argparse.ArgumentParser(prog="script/golden")
    parser.add_argument("op", nargs="*", help="the ops to make vectors for; default all")
    parser.add_argument("--missing", action="store_true", help="only ops without vectors in the repository")
    parser.add_argument("--out", default=VECTORS, help="the folder to write to; default tests/golden/vectors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # ignores the warning that padding="same" may copy

    def wanted(op):
        return (op in args.op or not args.op) and not (args.missing and have(op))

    by_op = {}
    for case in listed_cases(lambda row: wanted(row[0])) + [c for c in cases.CASES if wanted(c.op)]:
        by_op.setdefault(case.op, []).append(case)
    unknown = [op for op in args.op if wanted(op) and op not in by_op]
    if unknown:
        sys.exit(f"script/golden: no case of {' '.join(unknown)}: an elementwise op needs a row of "
                 "kernels/unary.def or kernels/binary.def, any other op a case in tests/golden/cases.py")
    for op, of_op in by_op.items():
        make(op, of_op, args.out)
    print(f"made vectors of {len(by_op)} ops in {os.path.relpath(args.out)}")


main()
