#!/usr/bin/python3
"""Makes tests/explain/vectors/pgd.safetensors: projected gradient descent by PyTorch in double precision.

The network is w2 tanh(w1 x + b1) + b2 for images x [5,2,4].  The tensors: w1, b1, w2, b2; x, start; labels,
targets; and for norm linf and l2 the results NORM, NORM.targeted and NORM.margin.  The metadata are eps and step of
each norm, and steps.  Needs Debian's python3-torch.
"""
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import safetensors_file  # noqa: E402

STEPS = 12
SIZES = {"linf": (0.12, 0.03), "l2": (0.4, 0.09)}


def loss_of(scores, labels, margin):
    if not margin:
        return torch.nn.functional.cross_entropy(scores, labels, reduction="sum")
    own = scores.gather(1, labels[:, None])[:, 0]
    others = scores.scatter(1, labels[:, None], float("-inf")).max(1).values
    return (others - own).sum()


def project(z, x, norm, eps):
    change = z - x
    if norm == "linf":
        change = change.clamp(-eps, eps)
    else:
        size = change.flatten(1).norm(dim=1)[:, None, None]
        change = change * torch.where(size > eps, eps / size, torch.ones_like(size))
    return (x + change).clamp(0, 1)


def pgd(network, x, start, labels, norm, targeted=False, margin=False):
    eps, step = SIZES[norm]
    z = project(start, x, norm, eps)
    for _ in range(STEPS):
        z = z.detach().requires_grad_()
        g, = torch.autograd.grad(loss_of(network(z), labels, margin), z)
        direction = g.sign() if norm == "linf" else g / g.flatten(1).norm(dim=1)[:, None, None]
        z = project(z.detach() + (-step if targeted else step) * direction, x, norm, eps)
    return z


def main():
    torch.manual_seed(19)
    torch.set_default_dtype(torch.float64)
    w1, b1, w2, b2 = torch.randn(6, 8), torch.randn(6), torch.randn(4, 6), torch.randn(4)
    x = torch.rand(5, 2, 4)
    x[0, 0, 0], x[1, 1, 1] = 0, 1
    start = x + 0.15 * torch.randn(5, 2, 4)
    labels, targets = torch.tensor([0, 1, 2, 3, 1]), torch.tensor([3, 0, 1, 1, 2])

    def network(z):
        return torch.tanh(z.flatten(1) @ w1.T + b1) @ w2.T + b2

    tensors = {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "x": x, "start": start, "labels": labels, "targets": targets}
    metadata = {"steps": str(STEPS)}
    for norm, (eps, step) in SIZES.items():
        metadata.update({norm + ".eps": str(eps), norm + ".step": str(step)})
        tensors[norm] = pgd(network, x, start, labels, norm)
        tensors[norm + ".targeted"] = pgd(network, x, start, targets, norm, targeted=True)
        tensors[norm + ".margin"] = pgd(network, x, start, labels, norm, margin=True)
    safetensors_file.write(os.path.join(HERE, "vectors", "pgd.safetensors"), tensors, metadata)


if __name__ == "__main__":
    main()
