#!/usr/bin/python3
"""Makes tests/explain/vectors/attribution.safetensors: attributions by PyTorch in double precision.

The network, of images x [2,3,11,9], calls one ReLU three times: conv1, relu, conv2, relu, max pooling of 3 x 3
with stride 2, batch norm, relu, conv3, mean over the pixels, fc.  The tensors: the parameters; x, baseline,
classes; and the results.  With the directory of Ebb's pretrained weights as argument, it also makes
squeezenet.safetensors: Grad-CAM of SqueezeNet's layer features.12 for the images of its probe.  Needs Debian's
python3-torch and python3-torchvision.
"""
import os
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import safetensors_file  # noqa: E402

POINTS = 64


class Rectifier(torch.autograd.Function):
    """ReLU with the gradient of a rule."""

    @staticmethod
    def forward(ctx, x, rule):
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gy):
        x, = ctx.saved_tensors
        if ctx.rule != "gradient":
            gy = gy.clamp(min=0)
        return (gy if ctx.rule == "deconvnet" else gy * (x > 0)), None


def network(p, x, rule="gradient", layers=None):
    def relu(h):
        return Rectifier.apply(h, rule)
    h = relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1))
    conv2 = F.conv2d(h, p["conv2.weight"], p["conv2.bias"])
    h = F.max_pool2d(relu(conv2), 3, 2, 1)
    h = relu(F.batch_norm(h, p["bn.mean"], p["bn.var"], p["bn.weight"], p["bn.bias"]))
    conv3 = F.conv2d(h, p["conv3.weight"], p["conv3.bias"], padding=1)
    if layers is not None:
        layers.update(conv2=conv2, conv3=conv3)
    return F.linear(conv3.mean((2, 3)), p["fc.weight"], p["fc.bias"])


def score_of(y, classes):
    return y.gather(1, classes[:, None]).sum()


def grad_cam(score, layer):
    g, = torch.autograd.grad(score, layer)
    return (g.mean((2, 3), keepdim=True) * layer).sum(1, keepdim=True).clamp(min=0)


def integrated(p, x, baseline, classes):
    total = torch.zeros_like(x)
    for i in range(POINTS + 1):
        at = (baseline + i / POINTS * (x - baseline)).requires_grad_()
        g, = torch.autograd.grad(score_of(network(p, at), classes), at)
        total += g * (0.5 if i in (0, POINTS) else 1) / POINTS
    return total * (x - baseline)


def small():
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    p = {"conv1.weight": torch.randn(5, 3, 3, 3) / 3, "conv1.bias": torch.randn(5) / 4,
         "conv2.weight": torch.randn(6, 5, 3, 3) / 4, "conv2.bias": torch.randn(6) / 4,
         "bn.weight": torch.rand(6) + 0.5, "bn.bias": torch.randn(6) / 4,
         "bn.mean": torch.rand(6), "bn.var": torch.rand(6) + 0.5,
         "conv3.weight": torch.randn(7, 6, 3, 3) / 4, "conv3.bias": torch.randn(7) / 4,
         "fc.weight": torch.randn(4, 7), "fc.bias": torch.randn(4)}
    x = torch.randn(2, 3, 11, 9)
    baseline, classes = torch.randn(2, 3, 11, 9) / 2, torch.tensor([1, 3])
    out = dict(p, x=x, baseline=baseline, classes=classes)
    for rule in ("gradient", "guided", "deconvnet"):
        leaf = x.clone().requires_grad_()
        layers = {}
        y = network(p, leaf, rule, layers)
        out[rule], = torch.autograd.grad(score_of(y, classes), leaf, retain_graph=True)
        if rule == "gradient":
            out["cam"] = grad_cam(score_of(network(p, leaf, rule, layers), classes), layers["conv2"])
            out["cam.resized"] = F.interpolate(out["cam"], size=(11, 9), mode="bilinear", align_corners=False)
            out["conv3"] = layers["conv3"]
        if rule == "deconvnet":
            unit = layers["conv3"][:, 2].flatten(1).max(1).values
            out["unit.value"] = unit
            out["unit"], = torch.autograd.grad(unit.sum(), leaf)
    out["integrated"] = integrated(p, x, baseline, classes)
    safetensors_file.write(os.path.join(HERE, "vectors", "attribution.safetensors"), out)


def read(path):
    """The tensors of a safetensors file."""
    import json
    import struct
    kinds = {"F32": torch.float32, "I64": torch.int64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    return {k: torch.frombuffer(bytearray(data[v["data_offsets"][0]:v["data_offsets"][1]]),
                                dtype=kinds[v["dtype"]]).reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


def squeezenet(weights):
    import torchvision
    torch.set_default_dtype(torch.float32)
    net = torchvision.models.squeezenet1_0()
    net.load_state_dict(read(os.path.join(weights, "squeezenet1_0-deepcompression.safetensors")))
    net.classifier[1].padding = (1, 1)
    net = net.double().eval()
    probe = read(os.path.join(weights, "squeezenet1_0-probe.safetensors"))
    kept = {}
    net.features[12].register_forward_hook(lambda module, x, y: kept.update(y=y))
    y = net(probe["input"].double())
    classes = torch.tensor([251, 579])
    safetensors_file.write(os.path.join(HERE, "vectors", "squeezenet.safetensors"),
                           {"classes": classes, "cam": grad_cam(score_of(y, classes), kept["y"])})


small()
if len(sys.argv) > 1:
    squeezenet(sys.argv[1])
