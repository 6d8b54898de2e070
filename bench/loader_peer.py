#!/usr/bin/python3
"""The pipelines of bench/loader with torchvision: loader_peer.py cifar|folder DIR WORKERS SECONDS.

Prints a line of JSON with images_per_second and cpu_us_per_image (of all processes, including their start
and the batches that they prefetched after the last one).  cifar without a directory ("") uses random images.
"""
import glob
import json
import os
import resource
import sys
import time

import numpy as np
import torch
from PIL import Image
from torchvision import datasets, transforms

BATCH = 128


class Cifar(torch.utils.data.Dataset):
    def __init__(self, directory, transform):
        names = sorted(glob.glob(os.path.join(directory, "data_batch_*.bin"))) if directory else []
        if names:
            records = np.concatenate([np.fromfile(n, np.uint8).reshape(-1, 3073) for n in names])
        else:
            records = np.random.default_rng(1).integers(0, 255, (10000, 3073), dtype=np.uint8)
        self.labels = records[:, 0]
        self.images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


def processor_time():
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(loader, seconds):
    """Images per second after the first batch, and the number of images including the first batch."""
    images, first, start = 0, 0, None
    while True:
        for x, _ in loader:
            now = time.monotonic()
            if start is None:
                start, first = now, len(x)
                continue
            images += len(x)
            if now - start >= seconds:
                return images / (now - start), images + first


def main():
    kind, directory, workers, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    torch.set_num_threads(1)
    where = ([transforms.Resize(256), transforms.RandomCrop(224)] if kind == "folder"
             else [transforms.RandomCrop(32, 4)])
    transform = transforms.Compose(where + [
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    data = (datasets.ImageFolder(directory, transform) if kind == "folder"
            else Cifar(directory, transform))
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=workers)
    cpu = processor_time()
    rate, images = measure(loader, seconds)
    cpu = processor_time() - cpu
    print(json.dumps({"images_per_second": round(rate, 1),
                      "cpu_us_per_image": round(1e6 * cpu / images, 1)}))


if __name__ == "__main__":
    main()
