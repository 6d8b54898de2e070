"""Cases of golden vectors for all ops but those of kernels/unary.def and kernels/binary.def.

A case has PyTorch's formula and the options that calls.c and the other files of calls read.  Shapes
are small, odd and unequal, so that a case fails if an axis, a stride or a group is exchanged with
another.
"""
import torch
import torch.nn.functional as F

CASES = []


class Case:
    def __init__(self, op, name, formula, inputs, constants=(), buffers=None, options=None):
        self.op, self.name, self.formula = op, name, formula
        self.inputs = inputs  # functions of a random generator that return a tensor
        self.constants = constants  # real inputs that are not differentiated
        self.buffers = buffers or {}  # {input: name} of inputs that the op updates in place
        self.options = options or {}  # options in the metadata, by name


def case(op, name, formula, *inputs, constants=(), buffers=None, **options):
    inputs = [real(*x) if isinstance(x, tuple) else x for x in inputs]
    CASES.append(Case(op, name, formula, inputs, constants, buffers, options))


# ---- Inputs --------------------------------------------------------------------------------------


def number(rng, deviation=1.0):
    """A random number that is exact in single precision, so that both precisions get the same input."""
    return round(rng.gauss(0, deviation) * 64) / 64


def real(*shape):
    def make(rng):
        n = torch.Size(shape).numel()
        return torch.tensor([number(rng) for _ in range(n)], dtype=torch.float64).reshape(shape)
    return make


def positive(*shape):
    return lambda rng: real(*shape)(rng).abs() + 0.25


def nonzero(*shape):
    def make(rng):
        x = real(*shape)(rng)
        return torch.where(x.abs() < 0.25, x + 0.5, x)
    return make


def halves(*shape):
    """Multiples of 1/2: many are equal."""
    return lambda rng: (real(*shape)(rng) * 2).round() / 2


def exactly(*values):
    return lambda rng: torch.tensor(values, dtype=torch.float64)


def integers(values):
    return lambda rng: torch.tensor(values, dtype=torch.int64)


def below(n, *shape):
    """Random integers from 0 to n - 1."""
    return lambda rng: torch.tensor([rng.randrange(n) for _ in range(torch.Size(shape).numel())],
                                    dtype=torch.int64).reshape(shape)


# ---- Elementwise ---------------------------------------------------------------------------------

CORNERS = exactly(-6, -3, -2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 6)


case("add", "broadcast", torch.add, (2, 1, 4), (3, 1))
case("add", "same", torch.add, (2, 3), (2, 3))
case("floor_div", "broadcast", lambda a, b: (a / b).floor(), (2, 1, 4), nonzero(3, 1))
case("remainder", "broadcast", torch.remainder, (2, 1, 4), nonzero(3, 1))
case("remainder", "signs", lambda a, b: a - b * (a / b).floor(), exactly(7, -7, 7, -7, 0.5), exactly(2, 2, -2, -2, 3))
case("leaky_relu", "slope", lambda x: F.leaky_relu(x, 0.2), CORNERS, negative_slope=0.2)
case("elu", "alpha", lambda x: F.elu(x, 0.5), CORNERS, alpha=0.5)
case("gelu", "erf", F.gelu, CORNERS, approximate="none")
case("gelu", "tanh", lambda x: F.gelu(x, approximate="tanh"), CORNERS, approximate="tanh")
case("gelu", "bias", lambda x, b: F.gelu(x + b), (2, 3, 5), (5,), approximate="none")
case("gelu", "bias-tanh", lambda x, b: F.gelu(x + b, approximate="tanh"), (4, 3), (3,), approximate="tanh")
case("clamp", "both", lambda x: x.clamp(-0.5, 2), CORNERS, min=-0.5, max=2.0)
case("add_scalar", "value", lambda x: x + 1.5, (2, 3), value=1.5)
case("mul_scalar", "value", lambda x: x * -2.25, (2, 3), value=-2.25)
case("div_scalar", "value", lambda x: x / -2.25, (2, 3), value=-2.25)
case("pow_scalar", "cube", lambda x: x ** 3, CORNERS, exponent=3.0)
case("pow_scalar", "fraction", lambda x: x ** 0.7, positive(7), exponent=0.7)
case("pow_scalar", "inverse-square", lambda x: x ** -2, positive(7), exponent=-2.0)
case("prelu", "channels", F.prelu, (2, 3, 2, 2), (3,))
case("prelu", "one", F.prelu, (2, 3), (1,))
case("where", "broadcast", lambda c, a, b: torch.where(c != 0, a, b),
     integers([[[1], [0], [1]], [[0], [0], [1]]]), (3, 4), (2, 1, 1))

# ---- Reductions ----------------------------------------------------------------------------------

for op in ("sum", "mean"):
    f = getattr(torch, op)
    case(op, "all", f, (3, 4))
    case(op, "axes", lambda x, f=f: f(x, (0, 2)), (3, 4, 2), axis=(0, 2), keepdim=False)
    case(op, "keepdim", lambda x, f=f: f(x, -2, keepdim=True), (3, 4, 2), axis=-2, keepdim=True)
case("logsumexp", "keepdim", lambda x: x.logsumexp(1, keepdim=True), (2, 5, 3), axis=1, keepdim=True)
case("logsumexp", "axes", lambda x: x.logsumexp((0, 2)), lambda rng: real(2, 3, 4)(rng) * 64,
     axis=(0, 2))
case("prod", "zeros", lambda x: x.prod(1), lambda rng: real(4, 3)(rng) * torch.tensor(
    [[1, 1, 1], [0, 1, 1], [0, 1, 0], [1, 1, 1]]), axis=1)
for op in ("max", "min"):
    f = getattr(torch, op)
    case(op, "equal", lambda x, f=f: f(x, 1).values, halves(3, 7, 2), axis=1, keepdim=False)
    case(op, "keepdim", lambda x, f=f: f(x, -1, keepdim=True).values, (3, 5), axis=-1, keepdim=True)
for op in ("var", "std"):
    f = getattr(torch, op)
    case(op, "population", lambda x, f=f: f(x, dim=(0, 2), correction=0, keepdim=True), (4, 3, 2),
         axis=(0, 2), correction=0, keepdim=True)
    case(op, "sample", lambda x, f=f: f(x, dim=1, correction=1), (3, 5), axis=1, correction=1)
case("norm", "l1", lambda x: x.norm(1), halves(3, 4), p=1.0)
case("norm", "l2", lambda x: x.norm(2, dim=1, keepdim=True), (3, 5), p=2.0, axis=1, keepdim=True)
case("norm", "l3", lambda x: x.norm(3, dim=(0, 2)), (2, 3, 4), p=3.0, axis=(0, 2))
case("sum_to", "both", lambda x: x.sum_to_size(3, 1), (2, 3, 4), shape=(3, 1))
case("cumsum", "middle", lambda x: x.cumsum(1), (3, 5, 2), axis=1)
case("sort", "equal", lambda x: x.sort(dim=1, stable=True).values, halves(3, 7, 2), axis=1)
case("sort", "descending", lambda x: x.sort(dim=-1, descending=True, stable=True).values, halves(2, 9), axis=-1,
     descending=True)
case("topk", "largest", lambda x: x.topk(3, 1).values, (2, 6, 2), k=3, axis=1)
case("topk", "smallest", lambda x: x.topk(2, 0, largest=False).values, (5, 3), k=2, axis=0, smallest=True)

# ---- Shapes --------------------------------------------------------------------------------------

case("reshape", "infer", lambda x: x.reshape(6, -1), (2, 3, 4), shape=(6, -1))
case("flatten", "samples", lambda x: x.flatten(1), (2, 3, 2))
case("permute", "rotate", lambda x: x.permute(2, 0, 1), (2, 3, 4), axes=(2, 0, 1))
case("transpose", "ends", lambda x: x.transpose(0, -1), (2, 3, 4), axes=(0, -1))
case("expand", "front", lambda x: x.expand(2, -1, 4), (3, 1), shape=(2, -1, 4))
case("unsqueeze", "last", lambda x: x.unsqueeze(-1), (2, 3), axis=-1)
case("squeeze", "middle", lambda x: x.squeeze(1), (2, 1, 3), axis=1)
case("slice", "steps", lambda x: x[0:3, 1:-1:2, -3:4], (3, 7, 5), start=(0, 1, -3), stop=(3, -1, 4),
     step=(1, 2, 1))
case("flip", "two", lambda x: x.flip(0, 2), (2, 3, 4), axis=(0, 2))
case("tril", "below", lambda x: x.tril(-1), (2, 4, 3), diagonal=-1)
case("triu", "above", lambda x: x.triu(1), (2, 3, 4), diagonal=1)
case("pixel_shuffle", "two", lambda x: F.pixel_shuffle(x, 2), (1, 8, 2, 3), factor=2)
case("dense", "channels-last", lambda x: x.contiguous(memory_format=torch.channels_last), (2, 3, 2, 2),
     order="channels_last")
case("concat", "three", lambda *x: torch.cat(x, 1), (2, 3, 2), (2, 1, 2), (2, 2, 2), axis=1)
case("stack", "middle", lambda *x: torch.stack(x, 1), (2, 3), (2, 3), (2, 3), axis=1)
case("split", "sizes", lambda x: torch.cat(x.split([2, 1, 3], 1)[::-1], 1), (2, 6, 2), axis=1,
     sizes=(2, 1, 3), note="the parts joined in reverse order")
case("pad", "crop", lambda x: F.pad(x, (-1, 2, 3, -1), value=0.5), (2, 3, 4), pad=(-1, 2, 3, -1),
     mode="constant", value=0.5)
for mode in ("reflect", "replicate", "circular"):
    case("pad", mode, lambda x, mode=mode: F.pad(x, (2, 1, 0, 2), mode=mode), (1, 2, 3, 4),
         pad=(2, 1, 0, 2), mode=mode)
case("index_select", "repeated", lambda x, i: x.index_select(1, i), (2, 4, 2), integers([3, 0, 3, 1, 3]),
     axis=1)
case("gather", "repeated", lambda x, i: x.gather(1, i), (3, 5), below(5, 2, 7), axis=1)
case("scatter_add", "repeated", lambda x, i, src: x.scatter_add(1, i, src), (3, 4), below(4, 2, 6), (2, 6),
     axis=1)
case("embedding", "padding", lambda i, w: F.embedding(i, w, padding_idx=2), integers([[1, 2, 1], [4, 0, 2]]),
     (5, 3), padding_idx=2)

# ---- Products ------------------------------------------------------------------------------------

case("matmul", "broadcast", torch.matmul, (2, 1, 3, 4), (3, 4, 2))
case("matmul", "vector", torch.matmul, (3, 4), (4,))
for name, equation, *shapes in [
        ("attention", "bhld,bhsd->bhls", (2, 2, 3, 4), (2, 2, 5, 4)),
        ("implicit", "cb,ac", (4, 3), (2, 4)),
        ("ellipsis", "...ij,kj...->k...i", (2, 3, 4), (2, 4, 1)),
        ("outer", "i,jk->kij", (3,), (2, 4)),
        ("rows", "bi,bi->b", (3, 4), (3, 4)),
        ("diagonal", "iji->ji", (3, 2, 3))]:
    case("einsum", name, lambda *x, equation=equation: torch.einsum(equation, *x), *shapes, equation=equation)
case("matmul", "transposed", lambda a, b: a.T @ b, (5, 3), (5, 4), note="in.0 is used transposed")
case("linear", "bias", F.linear, (3, 5), (4, 5), (4,))
case("linear", "sequence", F.linear, (2, 3, 5), (4, 5))


def attention(q, k, v, mask=None, causal=False, scale=None, past=0, grouped=False):
    if grouped:
        each = q.shape[-3] // k.shape[-3]
        k, v = k.repeat_interleave(each, -3), v.repeat_interleave(each, -3)
    scores = q @ k.transpose(-2, -1) * (scale or q.shape[-1] ** -0.5)
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if causal:
        allowed = allowed.tril(past)
    if mask is not None and mask.dtype == torch.int64:
        allowed = mask != 0
    elif mask is not None:
        scores = scores + mask
    return scores.masked_fill(~allowed, -torch.inf).softmax(-1) @ v


case("attention", "causal", lambda q, k, v: attention(q, k, v, causal=True), (2, 3, 4), (2, 5, 4), (2, 5, 3),
     causal=True)
case("attention", "mask", lambda q, k, v, m: attention(q, k, v, m, scale=0.3), (1, 2, 3, 4), (1, 2, 4, 4),
     (1, 2, 4, 3), integers([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 0]]), causal=False, scale=0.3,
     note="in.3 = mask")
case("attention", "bias", attention, (2, 3, 4), (2, 4, 4), (2, 4, 2), (3, 4), causal=False, note="in.3 = mask")
case("attention", "grouped", lambda q, k, v: attention(q, k, v, grouped=True, scale=0.7), (2, 4, 3, 2), (2, 2, 5, 2),
     (2, 2, 5, 3), grouped=True, scale=0.7)
case("attention", "past", lambda q, k, v: attention(q, k, v, causal=True, past=2), (2, 3, 3), (2, 6, 3), (2, 6, 2),
     causal=True, past=2)
case("attention", "grouped-past", lambda q, k, v: attention(q, k, v, causal=True, past=1, grouped=True), (1, 3, 2, 5),
     (1, 1, 3, 5), (1, 1, 3, 2), causal=True, past=1, grouped=True)

# ---- Convolution and pooling ---------------------------------------------------------------------


def convolution(name, x, w, b=True, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1):
    case("conv2d", name, lambda x, w, b=None: F.conv2d(x, w, b, stride, pad, dilation, groups), x, w,
         *([(w[0],)] if b else []), stride=stride, pad=pad, dilation=dilation, groups=groups)


convolution("same3", (2, 2, 4, 5), (3, 2, 3, 3), pad=(1, 1))
convolution("rectangle", (1, 2, 5, 7), (3, 2, 2, 3), stride=(1, 2), pad=(0, 2))
convolution("dilated-groups", (1, 4, 5, 6), (6, 2, 3, 2), stride=(2, 1), pad=(2, 1), dilation=(2, 3), groups=2)
convolution("depthwise", (1, 3, 4, 5), (3, 1, 3, 3), b=False, pad=(1, 1), groups=3)
convolution("pointwise", (2, 5, 3, 3), (4, 5, 1, 1), stride=(2, 2))
case("conv2d", "same-even", lambda x, w: F.conv2d(x, w, padding="same"), (1, 2, 5, 4), (3, 2, 4, 2), pad="same")
case("conv1d", "groups", lambda x, w, b: F.conv1d(x, w, b, 2, 1, 2, 2), (2, 4, 7), (4, 2, 3), (4,),
     stride=2, pad=1, dilation=2, groups=2)
case("conv_transpose2d", "groups", lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 3), (1, 0), (1, 2), 2, (1, 2)),
     (1, 4, 3, 2), (4, 2, 3, 2), (4,), stride=(2, 3), pad=(1, 0), output_pad=(1, 2), groups=2, dilation=(1, 2))
case("maxpool2d", "equal", lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), True), halves(1, 2, 6, 7),
     kernel=(3, 2), stride=(2, 1), pad=(1, 0), dilation=(1, 2), ceil=True)
case("maxpool2d", "two", lambda x: F.max_pool2d(x, 2), (2, 2, 5, 4), kernel=(2, 2), stride=(2, 2), pad=(0, 0),
     ceil=False)
for counted in (False, True):
    case("avgpool2d", "counted" if counted else "excluded", lambda x, counted=counted: F.avg_pool2d(
        x, (3, 2), (2, 2), (1, 1), True, counted), (1, 2, 5, 6), kernel=(3, 2), stride=(2, 2), pad=(1, 1),
        ceil=True, count_include_pad=counted)
case("adaptive_avgpool2d", "unequal", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), (1, 2, 5, 7), size=(3, 2))
case("adaptive_maxpool2d", "unequal", lambda x: F.adaptive_max_pool2d(x, (3, 2)), (1, 2, 5, 7), size=(3, 2))
case("max_unpool2d", "two", lambda x, i: F.max_unpool2d(x, i, 2, output_size=(3, 5)), (2, 1, 1, 2),
     integers([[[[6, 3]]], [[[0, 8]]]]), size=(3, 5))
case("upsample", "nearest", lambda x: F.interpolate(x, scale_factor=(1.5, 2.0)), (1, 2, 3, 4), mode="nearest",
     scale=(1.5, 2.0))
case("upsample", "bilinear", lambda x: F.interpolate(x, (5, 7), mode="bilinear"), (1, 2, 3, 4), mode="bilinear",
     size=(5, 7), align_corners=False)
case("upsample", "aligned", lambda x: F.interpolate(x, (5, 3), mode="bilinear", align_corners=True), (1, 2, 3, 4),
     mode="bilinear", size=(5, 3), align_corners=True)

# ---- Normalisation -------------------------------------------------------------------------------

BUFFERS = {3: "running_mean", 4: "running_var"}


def batchnorm(training, momentum=0.1):
    return lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, training, momentum, 1e-5)


for training in (True, False):
    case("batchnorm", "training" if training else "evaluation", batchnorm(training, 0.3), (3, 2, 2, 3), (2,), (2,),
         (2,), positive(2), constants=(3, 4), buffers=BUFFERS, training=training, momentum=0.3, eps=1e-05)
case("batchnorm_relu", "residual", lambda x, w, b, mean, var, r: F.relu(batchnorm(True)(x, w, b, mean, var) + r),
     (3, 2, 2, 3), (2,), (2,), (2,), positive(2), (3, 2, 2, 3), constants=(3, 4), buffers=BUFFERS, training=True,
     momentum=0.1, eps=1e-05)
case("layernorm", "one", lambda x, w, b: F.layer_norm(x, (5,), w, b), (3, 5), (5,), (5,), axes=1, eps=1e-05)
case("layernorm", "two", lambda x, w, b: F.layer_norm(x, (3, 4), w, b, 0.1), (2, 3, 4), (3, 4), (3, 4), axes=2,
     eps=0.1)
case("rmsnorm", "two", lambda x, w: x * (x.square().mean((-2, -1), keepdim=True) + 0.01).rsqrt() * w, (2, 3, 4),
     (3, 4), axes=2, eps=0.01)
case("groupnorm", "two", lambda x, w, b: F.group_norm(x, 2, w, b, 1e-3), (2, 6, 3), (6,), (6,), groups=2, eps=1e-3)
case("instancenorm", "images", lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (2, 3, 2, 3), (3,), (3,),
     eps=1e-05)
case("local_response_norm", "odd", lambda x: F.local_response_norm(x, 3, 0.1, 0.75, 2.0), (1, 5, 2, 2), size=3,
     alpha=0.1, beta=0.75, k=2.0)
case("local_response_norm", "even", lambda x: F.local_response_norm(x, 4, 0.3, 0.5, 1.0), (2, 6, 3), size=4,
     alpha=0.3, beta=0.5, k=1.0)
case("normalize", "l2", lambda x: F.normalize(x, 2.0, 0), (3, 4), p=2.0, axis=0)
case("normalize", "l3", lambda x: F.normalize(x, 3.0, 1), (2, 4, 3), p=3.0, axis=1)

# ---- Softmax and losses --------------------------------------------------------------------------

for op in ("softmax", "log_softmax"):
    f = getattr(torch, op)
    case(op, "middle", lambda x, f=f: f(x, 1), (2, 5, 3), axis=1)
    case(op, "large", lambda x, f=f: f(x, -1), lambda rng: real(3, 4)(rng) * 256, axis=-1)

LABELS = integers([[0, 3, 1], [2, 1, 0]])
WEIGHTS = "in.2 = class weights, not differentiated"
case("cross_entropy", "weights", lambda x, y, w: F.cross_entropy(x, y, w, ignore_index=1, label_smoothing=0.1),
     (2, 4, 3), LABELS, positive(4), constants=(2,), reduction="mean", ignore_index=1, label_smoothing=0.1,
     note=WEIGHTS)
case("cross_entropy", "none", lambda x, y: F.cross_entropy(x, y, reduction="none"), (2, 4, 3), LABELS,
     reduction="none")
case("cross_entropy", "soft", lambda x, y: F.cross_entropy(x, y.softmax(1), label_smoothing=0.2), (3, 4), (3, 4),
     reduction="mean", label_smoothing=0.2, note="targets = softmax(in.1)")
case("nll_loss", "weights", lambda x, y, w: F.nll_loss(x, y, w, ignore_index=1), (2, 4, 3), LABELS, positive(4),
     constants=(2,), reduction="mean", ignore_index=1, note=WEIGHTS)
case("nll_loss", "sum", lambda x, y: F.nll_loss(x.log_softmax(1), y, reduction="sum"), (4, 3),
     integers([2, 0, 1, 2]), reduction="sum", note="in.0 are logits: log_softmax first")
for reduction in ("mean", "none"):
    case("mse_loss", reduction, lambda x, y, r=reduction: F.mse_loss(x, y, reduction=r), (3, 4), (3, 4),
         reduction=reduction)
    case("bce_with_logits", reduction, lambda x, y, r=reduction: F.binary_cross_entropy_with_logits(
        x, y, reduction=r), lambda rng: real(3, 4)(rng) * 8, (3, 4), reduction=reduction)
    case("l1_loss", reduction, lambda x, y, r=reduction: F.l1_loss(x, y, reduction=r), halves(3, 4), halves(3, 4),
         reduction=reduction)
    case("huber_loss", reduction, lambda x, y, r=reduction: F.huber_loss(x, y, reduction=r, delta=0.75), (3, 4),
         (3, 4), reduction=reduction, delta=0.75)
case("kl_div", "batchmean", lambda x, y: F.kl_div(x.log_softmax(-1), y.softmax(-1), reduction="batchmean"),
     (3, 4), (3, 4), reduction="batchmean", note="in.0 and in.1 are logits: log_softmax / softmax first")
case("kl_div", "log-target", lambda x, y: F.kl_div(
    x.log_softmax(-1), y.log_softmax(-1), reduction="sum", log_target=True), (3, 4), (3, 4), reduction="sum",
     log_target=True, note="in.0 and in.1 are logits: log_softmax first")

# ---- Small graphs --------------------------------------------------------------------------------

case("graph_reuse", "a", lambda x: torch.tanh(x * x + torch.sin(x) * x) * x, (3, 4),
     note="tanh(x*x + sin(x)*x)*x")
case("graph_residual_block", "a", lambda x, v, w: F.relu(x + F.conv2d(
    F.relu(F.conv2d(x, v, padding=1)), w, padding=1)), (1, 2, 3, 4), (2, 2, 3, 3), (2, 2, 3, 3),
     note="relu(x + conv2d(relu(conv2d(x,in.1,pad=1)),in.2,pad=1))")
