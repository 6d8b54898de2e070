"""PyTorch twins of the networks of nn/models/residual.h that torchvision does not have.

MODELS maps a card's name to a function of the number of classes, which returns a module with the same names and
shapes of parameters in the same order.
"""
from torch import nn
from torch.nn import functional as F


def conv(n, out, kernel, stride=1):
    return nn.Conv2d(n, out, kernel, stride, kernel // 2, bias=False)


def pad_channels(x, more):
    """The shortcut of option A."""
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more // 2)) if more else x


class Block(nn.Module):
    def __init__(self, n, out, plain, preact, first):
        super().__init__()
        self.plain, self.preact, self.first, self.more = plain, preact, first, out - n
        first = conv(n, out, 3, 1 if n == out else 2)
        if preact:
            self.bn1, self.conv1, self.bn2, self.conv2 = nn.BatchNorm2d(n), first, nn.BatchNorm2d(out), conv(out, out, 3)
        else:
            self.conv1, self.bn1, self.conv2, self.bn2 = first, nn.BatchNorm2d(out), conv(out, out, 3), nn.BatchNorm2d(out)

    def forward(self, x):
        if self.preact:
            h = F.relu(self.bn1(x))
            y = self.conv2(F.relu(self.bn2(self.conv1(h))))
            x = h if self.first else x
        else:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if not self.plain:
            y = y + pad_channels(x, self.more)
        return y if self.preact else F.relu(y)


class CifarResNet(nn.Module):
    def __init__(self, depth, classes, plain=False, preact=False):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        if not preact:
            self.bn1 = nn.BatchNorm2d(16)
        n = 16
        for stage in range(3):
            blocks = []
            for k in range((depth - 2) // 6):
                blocks.append(Block(n, 16 << stage, plain, preact, stage == k == 0))
                n = 16 << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        if preact:
            self.bn = nn.BatchNorm2d(n)
        self.linear = nn.Linear(n, classes)
        self.preact = preact

    def forward(self, x):
        x = self.conv1(x)
        if not self.preact:
            x = F.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.preact:
            x = F.relu(self.bn(x))
        return self.linear(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(self, n, out, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(n), conv(n, out, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(out), conv(out, out, 3)
        if n != out or stride != 1:
            self.shortcut = conv(n, out, 1, stride)

    def forward(self, x):
        h = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(h))))
        return y + (self.shortcut(h) if hasattr(self, "shortcut") else x)


class WideResNet(nn.Module):
    def __init__(self, depth, width, classes):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        n = 16
        for stage in range(3):
            blocks = []
            for k in range((depth - 4) // 6):
                out = (16 << stage) * width
                blocks.append(WideBlock(n, out, 2 if stage and k == 0 else 1))
                n = out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(n)
        self.linear = nn.Linear(n, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


MODELS = {}
for number in (20, 32, 44, 56, 110):
    MODELS[f"cifar_resnet{number}"] = lambda classes, d=number: CifarResNet(d, classes)
    MODELS[f"cifar_plain{number}"] = lambda classes, d=number: CifarResNet(d, classes, plain=True)
    MODELS[f"cifar_preact{number}"] = lambda classes, d=number: CifarResNet(d, classes, preact=True)
for number, times in ((16, 4), (28, 10), (40, 4)):
    MODELS[f"wrn_{number}_{times}"] = lambda classes, d=number, k=times: WideResNet(d, k, classes)
