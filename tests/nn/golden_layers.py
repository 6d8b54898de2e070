#!/usr/bin/python3
"""Makes tests/nn/vectors: results and gradients of PyTorch's attention layers in double precision.

A file is one case of torch.nn.MultiheadAttention, of torch.nn.TransformerEncoderLayer or of a language model of such
layers.  Its metadata are the options that golden_layers.c reads.  Its tensors: p.NAME, the parameters; x, memory,
values, mask (gpt: the tokens), the inputs; y, the output; gy, the cotangent of y; grad.x, grad.memory, grad.values and grad.p.NAME, the gradients of sum y*gy.  Needs Debian's
python3-torch.
"""
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import safetensors_file  # noqa: E402

VECTORS = os.path.join(HERE, "vectors")
D, BATCH, LENGTH, SOURCE = 6, 2, 4, 5


def write(name, metadata, tensors):
    # The vectors are in double precision; masks are bytes.
    values = {key: x if x.dtype == torch.uint8 else x.double() for key, x in tensors.items()}
    safetensors_file.write(os.path.join(VECTORS, name + ".safetensors"), values,
                           {key: str(value) for key, value in metadata.items()})


def case(name, metadata, layer, inputs, call, mask=None):
    """inputs by name; call(layer, inputs) returns y."""
    for p in layer.parameters():
        p.data = torch.randn_like(p) * 0.5
    for x in inputs.values():
        x.requires_grad_()
    y = call(layer, inputs)
    gy = torch.randn_like(y)
    tensors = {"p." + key: value for key, value in layer.state_dict().items()}
    wanted = {**inputs, **{"p." + key: value for key, value in layer.named_parameters()}}
    grads = torch.autograd.grad(y, list(wanted.values()), gy)
    tensors.update(inputs)
    tensors.update({"y": y, "gy": gy})
    tensors.update({"grad." + key: g for key, g in zip(wanted, grads)})
    if mask is not None:
        tensors["mask"] = mask
    write(name, metadata, tensors)


def multihead(name, heads, shapes, mask=None, ebb_mask=None, causal=False, **options):
    """mask: attn_mask or key_padding_mask as PyTorch's call takes it; ebb_mask: the same for Ebb."""
    layer = torch.nn.MultiheadAttention(D, heads, batch_first=True, **options)
    inputs = {key: torch.randn(*shape) for key, shape in shapes.items()}
    masks = dict(mask or {})
    if causal:
        size = shapes["x"][-2], shapes.get("memory", shapes["x"])[-2]
        masks["attn_mask"] = torch.ones(*size, dtype=torch.bool).triu(1)

    def call(layer, inputs):
        memory = inputs.get("memory", inputs["x"])
        return layer(inputs["x"], memory, inputs.get("values", memory), need_weights=False, **masks)[0]

    metadata = {"layer": "multihead", "heads": heads, "causal": int(causal), "no_bias": int(not options.get("bias", True)),
                "kdim": options.get("kdim", 0), "vdim": options.get("vdim", 0)}
    case(name, metadata, layer, inputs, call, ebb_mask)


def transformer(name, heads, hidden, activation, norm_first, causal, shape):
    layer = torch.nn.TransformerEncoderLayer(D, heads, hidden, dropout=0, activation=activation, batch_first=True,
                                             norm_first=norm_first)
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1) if causal else None
    metadata = {"layer": "transformer", "heads": heads, "hidden": hidden, "gelu": int(activation == "gelu"),
                "norm_first": int(norm_first), "causal": int(causal)}
    case(name, metadata, layer, {"x": torch.randn(*shape)}, lambda l, inputs: l(inputs["x"], src_mask=mask))


class Gpt(torch.nn.Module):
    def __init__(self, vocabulary, context, layers, heads):
        super().__init__()
        self.tok, self.pos = torch.nn.Embedding(vocabulary, D), torch.nn.Embedding(context, D)
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(D, heads, 4 * D, dropout=0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(layers))
        self.norm, self.head = torch.nn.LayerNorm(D), torch.nn.Linear(D, vocabulary)

    def forward(self, tokens):
        x = self.tok(tokens) + self.pos(torch.arange(tokens.shape[1]))
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.head(self.norm(x))


def gpt(name, vocabulary, context, layers, heads):
    tokens = torch.randint(0, vocabulary, (BATCH, LENGTH))
    metadata = {"layer": "gpt", "vocabulary": vocabulary, "context": context, "layers": layers, "heads": heads}
    case(name, metadata, Gpt(vocabulary, context, layers, heads), {}, lambda net, inputs: net(tokens),
         tokens.to(torch.uint8))


def main():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    x, memory = (BATCH, LENGTH, D), (BATCH, SOURCE, D)
    multihead("self", 3, {"x": x})
    multihead("causal", 2, {"x": x}, causal=True)
    multihead("no-bias", 1, {"x": x}, bias=False)
    multihead("one-sequence", 6, {"x": (LENGTH, D)}, causal=True)
    multihead("memory", 3, {"x": x, "memory": memory})
    multihead("memory-and-values", 2, {"x": x, "memory": memory, "values": memory})
    multihead("kdim-vdim", 3, {"x": x, "memory": (BATCH, SOURCE, 3), "values": (BATCH, SOURCE, 7)}, kdim=3, vdim=7)
    multihead("vdim", 3, {"x": x, "memory": memory, "values": (BATCH, SOURCE, 1)}, vdim=1)
    added = torch.randn(LENGTH, LENGTH)
    multihead("mask", 3, {"x": x}, {"attn_mask": added}, added)
    padding = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 0, 0, 0]], dtype=torch.bool)
    multihead("padding", 2, {"x": x, "memory": memory}, {"key_padding_mask": padding},
              (~padding).to(torch.uint8).reshape(BATCH, 1, 1, SOURCE))
    transformer("layer", 2, 10, "relu", False, False, x)
    transformer("layer-norm-first", 3, 7, "gelu", True, True, x)
    transformer("layer-gelu", 1, 5, "gelu", False, True, x)
    transformer("layer-one-sequence", 6, 8, "relu", True, False, (LENGTH, D))
    gpt("gpt", 11, 5, 2, 3)


main()
