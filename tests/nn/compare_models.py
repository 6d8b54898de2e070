#!/usr/bin/env python3
"""Compares networks of the catalogue with torchvision's, or with the twins in twins_*.py.

    compare_models.py PROGRAM DIRECTORY [NAME...]   compares by PROGRAM (compare_models.c), through files in DIRECTORY
    compare_models.py --expected                    prints expected_models.h

Without names: all networks of the catalogue with less than 30 million parameters, or with EBB_MODELS=all in the
environment all networks.  A network gets random weights, which torch rounds to single precision, and statistics of
its batch norms from one training pass.  Then torch computes in double precision:
  evaluation   the logits, and the gradients of sum(logits * c) for a random c
  training     the loss, its gradients, and the statistics of the batch norms after the pass
In single precision a ReLU's input that is within rounding errors of 0 can have the other sign, and its gradient
another value.  So one image is compared, with few pixels where the network permits it, and if only gradients in single
precision differ, other random numbers are tried: an error of the network would be found with all of them.
Exits with 77 if torchvision is not installed.  Last line: "N passed, N failed".
"""
import os
import shlex
import subprocess
import sys

try:
    import torch
    import torchvision
    from torch.nn import functional as F
except ImportError:
    print("skipped: python3-torchvision is not installed")
    sys.exit(77)

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import safetensors_file  # noqa: E402
import twins_early  # noqa: E402
import twins_residual  # noqa: E402

TWINS = {**twins_early.MODELS, **twins_residual.MODELS}
TORCHVISION = """alexnet vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn googlenet inception_v3 squeezenet1_0
    squeezenet1_1 resnet18 resnet34 resnet50 resnet101 resnet152 wide_resnet50_2 wide_resnet101_2 resnext50_32x4d
    resnext101_32x8d resnext101_64x4d densenet121 densenet161 densenet169 densenet201 mobilenet_v2 efficientnet_b0
    convnext_tiny vit_b_16""".split()
# Sides of images, where 64 is too small or the network takes only one size.
SIDES = {"inception_v3": 299, "vit_b_16": 224, "alexnet": 95, "alexnet_original": 95, "zfnet": 95, "nin": 95}
FREE_SIZE, FEW = 64, 32
FEW_OF = {"inception_v3": 75}
ATTEMPTS = 8
ONLY_SINGLE_GRADIENTS = 3  # the status of PROGRAM
SMALL = 30_000_000
# The same code as other depths.  Plain-110 amplifies rounding errors by a factor of 1e9.
UNCOMPARED = {f"cifar_{kind}{depth}" for kind in ("resnet", "plain", "preact") for depth in (32, 44, 56)} | {
    "cifar_plain110"}
OLD_FORMAT = {"squeezenet1_1"}  # .pth files as torch wrote them before version 1.6
AUX_WEIGHT = {"googlenet": 0.3, "inception_v3": 0.4}


def make(name):
    """The network with its published number of classes, without dropout and stochastic depth."""
    if name in TWINS:
        net = TWINS[name](CLASSES.get(name, 1000))
    elif name in AUX_WEIGHT:
        net = torchvision.models.get_model(name, weights=None, init_weights=False, aux_logits=True)
    else:
        net = torchvision.models.get_model(name, weights=None)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torchvision.ops.StochasticDepth):
            module.p = 0.0
    return net


CLASSES = {}


def buffers_of(net):
    return [(name, b) for name, b in net.named_buffers() if not name.endswith("num_batches_tracked")]


def norms_of(net):
    return [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def randomize(net):
    """Adds random numbers, so that no weight, bias or scale is 0, 1 or equal to others."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("layer_scale"):
                p.uniform_(0.2, 1)
            else:
                p.add_(torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.02))
        if any(isinstance(module, torch.nn.ReLU6) for module in net.modules()):
            # In every layer, some values are above 6.
            for norm in norms_of(net):
                norm.weight.uniform_(1, 5)


def round_to_single(net):
    with torch.no_grad():
        for x in [*net.parameters(), *(b for _, b in buffers_of(net))]:
            x.copy_(x.float().double())


def logits_of(y):
    """The logits, and those of the intermediate classifiers."""
    if isinstance(y, torch.Tensor):
        return y, []
    aux = [getattr(y, k) for k in ("aux_logits1", "aux_logits2", "aux_logits") if hasattr(y, k)]
    return y.logits, aux


def gradients(net, x, what, out):
    out[what + ".x"] = x.grad.clone()
    x.grad = None
    for name, p in net.named_parameters():
        # No gradient in evaluation mode: an intermediate classifier.
        out[what + "." + name] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
        p.grad = None


def export(name, directory, side, few, channels, seed):
    torch.manual_seed(seed)
    net = make(name)
    randomize(net)
    net.double()
    round_to_single(net)
    x = torch.randn(2, channels, side, side).double()
    net.train()
    # Momentum 1: the statistics become those of x, so that values stay in the same range in evaluation mode.
    momenta = [norm.momentum for norm in norms_of(net)]
    for norm in norms_of(net):
        norm.momentum = 1.0
    with torch.no_grad():
        net(x)
    for norm, momentum in zip(norms_of(net), momenta):
        norm.momentum = momentum
    round_to_single(net)
    state = {k: v.clone().float() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    safetensors_file.write(os.path.join(directory, "weights.safetensors"), state)
    torch.save(state, os.path.join(directory, "weights.pth"), _use_new_zipfile_serialization=name not in OLD_FORMAT)
    with open(os.path.join(directory, "names.txt"), "w") as f:
        for kind, tensors in (("parameter", net.named_parameters()), ("buffer", buffers_of(net))):
            for key, p in tensors:
                f.write(f"{kind} {key} [{','.join(map(str, p.shape))}]\n")

    one = torch.randn(1, channels, few, few).double().requires_grad_()
    out = {"evaluation.in": one.detach().clone(), "training.in": x.clone()}
    net.eval()
    y, _ = logits_of(net(one))
    out["c"] = torch.randn_like(y)
    out["evaluation.logits"] = y.detach()
    (y * out["c"]).sum().backward()
    gradients(net, one, "evaluation", out)

    net.train()
    x.requires_grad_()
    y, aux = logits_of(net(x))
    out["labels"] = torch.randint(0, y.shape[1], (len(x),))
    loss = F.cross_entropy(y, out["labels"])
    for more in aux:
        loss = loss + AUX_WEIGHT[name] * F.cross_entropy(more, out["labels"])
    out["training.logits"] = y.detach()
    out["training.loss"] = loss.detach().reshape(1)
    loss.backward()
    gradients(net, x, "training", out)
    for key, b in buffers_of(net):
        out["training." + key] = b
    safetensors_file.write(os.path.join(directory, "expected.safetensors"), out)


def catalogue(program):
    """(name, parameters, classes, channels, side) of every card."""
    rows = [line.split() for line in subprocess.run([*program, "--list"], check=True, capture_output=True,
                                                    text=True).stdout.splitlines()]
    return {row[0]: tuple(map(int, row[1:])) for row in rows}


def compare(program, directory, names):
    cards = catalogue(program)
    passed = failed = 0
    for name in TORCHVISION:
        if name not in cards:
            print(f"{name}: torchvision has it, and the catalogue does not")
            failed += 1
    for name, (parameters, classes, channels, side) in cards.items():
        if name not in names if names else name in UNCOMPARED:
            continue
        if not names and parameters >= SMALL and os.environ.get("EBB_MODELS") != "all":
            continue
        if name not in TORCHVISION and name not in TWINS:
            print(f"{name}: neither torchvision nor twins_*.py have it")
            failed += 1
            continue
        CLASSES[name] = classes
        side = SIDES.get(name, side)
        few = FEW_OF.get(name, side)
        if name in TORCHVISION and name not in SIDES:
            side, few = FREE_SIZE, FEW
        for seed in range(ATTEMPTS):
            export(name, directory, side, few, channels, seed)
            result = subprocess.run([*program, name, directory], capture_output=True, text=True)
            if result.returncode != ONLY_SINGLE_GRADIENTS:
                break
        again = f" (attempt {seed + 1})" if seed else ""
        print((result.stdout + result.stderr).rstrip() + again, flush=True)
        passed += result.returncode == 0
        failed += result.returncode != 0
    print(f"{passed} passed, {failed} failed")
    return failed != 0


def fnv(text, h=0xcbf29ce484222325):
    for byte in text.encode():
        h = (h ^ byte) * 1099511628211 & (1 << 64) - 1
    return h


def expected():
    print("/* expected_models.h - torchvision's networks: counts, and hashes of names and shapes.  Made by\n"
          " * compare_models.py --expected.  A hash is FNV-1a over \"name[sizes]\\n\" in order. */")
    print("static const expected_model EXPECTED_MODELS[] = {")
    for name in TORCHVISION:
        net = make(name)
        parameters, buffers = list(net.named_parameters()), buffers_of(net)
        text = ["".join(f"{k}[{','.join(map(str, x.shape))}]\n" for k, x in part) for part in (parameters, buffers)]
        elements = sum(p.numel() for _, p in parameters)
        print(f"\t{{\"{name}\", {len(parameters)}, {elements}, {len(buffers)}, 0x{fnv(text[0]):x},\n"
              f"\t\t0x{fnv(text[1]):x}}},")
    print("};")


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:] == ["--expected"]:
        expected()
    else:
        # Cross builds run their programs by a wrapper.
        run = [*shlex.split(os.environ.get("MESON_EXE_WRAPPER", "")), sys.argv[1]]
        sys.exit(compare(run, sys.argv[2], sys.argv[3:]))
