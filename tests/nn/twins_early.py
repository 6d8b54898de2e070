"""PyTorch twins of the networks of nn/models/early.h that torchvision does not have.

MODELS maps a card's name to a function of the number of classes, which returns a module with the same names and
shapes of parameters in the same order.
"""
import torch
from torch import nn
from torch.nn import functional as F


class Squash(nn.Module):
    def forward(self, x):
        return 1.7159 * torch.tanh(2 / 3 * x)


class Maps(nn.Module):
    """A convolution of LeNet 1989: padded with -1, one bias for each unit."""

    def __init__(self, reads, side):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(12, reads, 5, 5))
        self.bias = nn.Parameter(torch.zeros(12, side, side))
        bound = 2.4 / (reads * 25)
        nn.init.uniform_(self.weight, -bound, bound)


class LeNet1989(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.h1, self.h2 = Maps(1, 8), Maps(8, 4)
        self.h3, self.output = nn.Linear(192, 30), nn.Linear(30, classes)
        self.squash = Squash()

    def forward(self, x):
        y = F.conv2d(F.pad(x, (2, 2, 2, 2), value=-1.0), self.h1.weight, stride=2) + self.h1.bias
        y = F.pad(self.squash(y), (2, 2, 2, 2), value=-1.0)
        groups = []
        for g in range(3):
            maps = [(4 * g + k) % 12 for k in range(8)]
            groups.append(F.conv2d(y[:, maps], self.h2.weight[4 * g:4 * g + 4], stride=2))
        y = self.squash(torch.cat(groups, 1) + self.h2.bias)
        return self.squash(self.output(self.squash(self.h3(y.flatten(1)))))


class LeNet5(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class Chain(nn.Module):
    """features, pooled to side x side, then the classifier; a side of None: the classifier, then the mean over all
    positions."""

    def __init__(self, features, classifier, side=None):
        super().__init__()
        self.features, self.classifier, self.side = nn.Sequential(*features), nn.Sequential(*classifier), side

    def forward(self, x):
        y = self.features(x)
        if self.side:
            return self.classifier(F.adaptive_avg_pool2d(y, self.side).flatten(1))
        return self.classifier(y).mean((2, 3))


def conv(*sizes, **options):
    return [nn.Conv2d(*sizes, **options), nn.ReLU()]


def response_norm():
    # torch multiplies the sum by alpha/size, the paper by alpha.
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def three_layers(inputs, classes):
    return [nn.Linear(inputs, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes)]


def alexnet_original(classes):
    features = [*conv(3, 96, 11, stride=4, padding=2), response_norm(), nn.MaxPool2d(3, 2),
                *conv(96, 256, 5, padding=2, groups=2), response_norm(), nn.MaxPool2d(3, 2),
                *conv(256, 384, 3, padding=1), *conv(384, 384, 3, padding=1, groups=2),
                *conv(384, 256, 3, padding=1, groups=2), nn.MaxPool2d(3, 2)]
    return Chain(features, three_layers(256 * 36, classes), 6)


def zfnet(classes):
    features = [*conv(3, 96, 7, stride=2, padding=1), nn.MaxPool2d(3, 2, 1), response_norm(),
                *conv(96, 256, 5, stride=2), nn.MaxPool2d(3, 2, 1), response_norm(),
                *conv(256, 384, 3, padding=1), *conv(384, 384, 3, padding=1), *conv(384, 256, 3, padding=1),
                nn.MaxPool2d(3, 2)]
    return Chain(features, three_layers(256 * 36, classes), 6)


def overfeat_classifier(width, kernel, classes):
    return [*conv(1024, width, kernel), nn.Dropout(), *conv(width, 4096, 1), nn.Dropout(), nn.Conv2d(4096, classes, 1)]


def overfeat_fast(classes):
    features = [*conv(3, 96, 11, stride=4), nn.MaxPool2d(2), *conv(96, 256, 5), nn.MaxPool2d(2),
                *conv(256, 512, 3, padding=1), *conv(512, 1024, 3, padding=1), *conv(1024, 1024, 3, padding=1),
                nn.MaxPool2d(2)]
    return Chain(features, overfeat_classifier(3072, 6, classes))


def overfeat_accurate(classes):
    features = [*conv(3, 96, 7, stride=2), nn.MaxPool2d(3), *conv(96, 256, 7), nn.MaxPool2d(2),
                *conv(256, 512, 3, padding=1), *conv(512, 512, 3, padding=1), *conv(512, 1024, 3, padding=1),
                *conv(1024, 1024, 3, padding=1), nn.MaxPool2d(3)]
    return Chain(features, overfeat_classifier(4096, 5, classes))


def nin(classes):
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    features = [*conv(3, 96, 11, stride=4), *conv(96, 96, 1), *conv(96, 96, 1), pool,
                *conv(96, 256, 5, padding=2), *conv(256, 256, 1), *conv(256, 256, 1), pool,
                *conv(256, 384, 3, padding=1), *conv(384, 384, 1), *conv(384, 384, 1), pool, nn.Dropout(),
                *conv(384, 1024, 3, padding=1), *conv(1024, 1024, 1)]
    return Chain(features, conv(1024, classes, 1))


def nin_cifar(classes):
    features = [*conv(3, 192, 5, padding=2), *conv(192, 160, 1), *conv(160, 96, 1),
                nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(),
                *conv(96, 192, 5, padding=2), *conv(192, 192, 1), *conv(192, 192, 1),
                nn.AvgPool2d(3, 2, ceil_mode=True), nn.Dropout(),
                *conv(192, 192, 3, padding=1), *conv(192, 192, 1)]
    return Chain(features, conv(192, classes, 1))


MODELS = {
    "lenet1989": LeNet1989,
    "lenet5": LeNet5,
    "alexnet_original": alexnet_original,
    "zfnet": zfnet,
    "overfeat_fast": overfeat_fast,
    "overfeat_accurate": overfeat_accurate,
    "nin": nin,
    "nin_cifar": nin_cifar,
}
