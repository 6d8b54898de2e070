#!/usr/bin/env python3
"""Checks a PNG file of the demo adversarial by other programs: decoded by Pillow, classified by torchvision.

    adversarial.py WEIGHTS NAMES PHOTOGRAPH PNG CLASS

Exits with an error unless the photograph is a dalmatian with more than 50 %, the PNG the class with more than 90 %, and
both differ by at most 8 levels.
"""
import json
import struct
import sys

import numpy
import PIL.Image
import torch
import torchvision

TYPES = {"F32": numpy.float32, "I64": numpy.int64}


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + at for at in entry["data_offsets"])
            values = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors


def classify(net, image):
    """The likeliest class and its probability, for an input as the README of the weights describes it."""
    side, cropped = 256, 227
    image = image.resize((side, side), PIL.Image.BILINEAR)
    image = torchvision.transforms.functional.center_crop(image, cropped)
    x = numpy.asarray(image).astype(numpy.float32)[:, :, ::-1] - numpy.float32([104, 117, 123])
    with torch.no_grad():
        share = net(torch.from_numpy(x.transpose(2, 0, 1).copy())[None]).softmax(1)[0]
    return int(share.argmax()), float(share.max())


def main():
    weights, names, photograph, png, wanted = sys.argv[1:]
    net = torchvision.models.squeezenet1_0()
    net.classifier[1].padding = (1, 1)
    net.load_state_dict(load(weights))
    net.eval()
    with open(names, encoding="utf-8") as file:
        names = file.read().split("\n")
    with PIL.Image.open(photograph) as file:
        before = file.convert("RGB")
    with PIL.Image.open(png) as file:
        is_png, after = file.format == "PNG", file.convert("RGB")
    change = numpy.abs(numpy.asarray(before).astype(int) - numpy.asarray(after).astype(int)).max()
    (first, share), (other, reached) = classify(net, before), classify(net, after)
    print(f"torchvision: {names[first]} {100 * share:.1f} %, then {names[other]} {100 * reached:.1f} %; "
          f"largest change {change}")
    fine = names[first].startswith("dalmatian") and share > 0.5 and names[other].startswith(wanted)
    return 0 if fine and reached > 0.9 and is_png and change <= 8 else 1


if __name__ == "__main__":
    sys.exit(main())
