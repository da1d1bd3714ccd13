"""One output value of calls and of attention with masks, against what the call itself gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.values import one_value as values
from support.anatomy import analyse
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE = (8, 3, 4)
ADDED = torch.linspace(-3, 3, 144).view(12, 12).sin() * 4
SEEN = ADDED > -1.5
LATER = nn.Transformer.generate_square_subsequent_mask(12)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def heads(x: Tensor, count: int = 2) -> Tensor:
    return tokens(x).unflatten(-1, (count, -1)).transpose(1, 2)


class Applies(nn.Module):
    """A function of the image, and a layer that it may use."""

    def __init__(self, apply: Callable[..., Any], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.apply_to = apply
        if layer is not None:
            self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        output = self.apply_to(self.layer, x) if hasattr(self, "layer") else self.apply_to(x)
        return output[0] if isinstance(output, tuple) else output


def opened(network: nn.Module, row: Layer, image: Tensor, count: int = 12) -> list[values.Value]:
    """Open values spread over the output of a row; each must be what its numbers make."""
    found = []
    places = torch.unravel_index(torch.linspace(0, torch.Size(row.output).numel() - 1, count).long(), row.output)
    for position in zip(*(axis.tolist() for axis in places), strict=True):
        value = values.output_value(network, row.id, image, position)
        assert value.computed == pytest.approx(value.total, rel=1e-5, abs=2e-6, nan_ok=True), (row.type, position)
        found.append(value)
    return found


CALLS = {
    "normalize": lambda x: F.normalize(x),
    "normalize, last axis": lambda x: F.normalize(x, p=1.0, dim=-1),
    "normalize, shorter than eps": lambda x: F.normalize(x, eps=100.0),
    "rms_norm": lambda x: F.rms_norm(x, (4,), torch.linspace(1, 2, 4)),
    "local_response_norm": lambda x: F.local_response_norm(x, 4, 0.5, 0.6, 2.0),
    "instance_norm": lambda x: F.instance_norm(x, weight=torch.linspace(1, 2, 8)),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x.flatten(2), torch.linspace(-1, 1, 48).view(8, 2, 3), stride=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, torch.linspace(-1, 1, 144).view(8, 2, 3, 3), None, 2, 1, 1, 2),
    "conv_transpose3d": lambda x: F.conv_transpose3d(
        x[:, :, None], torch.linspace(-1, 1, 216).view(8, 1, 3, 3, 3), torch.tensor([0.5])
    ),
    "bilinear": lambda x: F.bilinear(x, x.flip(1), torch.linspace(-1, 1, 80).view(5, 4, 4), torch.ones(5)),
    "masked_fill": lambda x: tokens(x).masked_fill(SEEN[:, :8], 7.0),
    "where": lambda x: torch.where(x > 0, x, 0.5),
    "einsum": lambda x: torch.einsum("bchw,bkhw->bkc", x, x.flip(1)),
    "einsum, an axis of one operand": lambda x: torch.einsum("b c h w, c k -> b k h", x, ADDED[:8]),
    "attention, truth values": lambda x: F.scaled_dot_product_attention(heads(x), heads(x), heads(x), SEEN),
    "attention, added": lambda x: F.scaled_dot_product_attention(heads(x), heads(x), heads(x), attn_mask=ADDED),
    "attention, causal": lambda x: F.scaled_dot_product_attention(heads(x), heads(x), heads(x), is_causal=True),
    "attention, shared keys": lambda x: F.scaled_dot_product_attention(
        heads(x, 4), heads(x, 4)[:, :2], heads(x, 4)[:, 1:3], enable_gqa=True
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_opens_to_one_value(name: str) -> None:
    torch.manual_seed(0)
    network, image = Applies(CALLS[name]).eval(), torch.randn(1, *SHAPE)
    rows = analyse(network, SHAPE).children
    [row] = [row for row in rows if row.type == name.split(",")[0]]
    assert values.opens(row)
    found = opened(network, row, image)
    assert len({value.total for value in found}) > 3
    assert rows[-1] is not row or found[0].total == pytest.approx(network(image).flatten()[0].item(), abs=1e-6)


def attends(layer: nn.Module, x: Tensor, **options: Any) -> Any:
    return layer(tokens(x), tokens(x).flip(1), tokens(x), **options)


MASKS = {
    "added": {"attn_mask": ADDED},
    "hidden": {"attn_mask": ~SEEN, "need_weights": False},
    "one for each head": {"attn_mask": torch.stack([ADDED, -ADDED])},
    "padding": {"key_padding_mask": torch.arange(12)[None] > 8},
    "padding and added": {"key_padding_mask": torch.linspace(-1, 2, 12)[None], "attn_mask": ADDED},
    "causal": {"attn_mask": LATER, "is_causal": True, "need_weights": False},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("more", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=["", "added keys"])
@pytest.mark.parametrize("name", MASKS)
def test_multi_head_attention_with_a_mask_opens_to_one_value(name: str, more: dict[str, bool]) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True, **more)
    network, image = Applies(lambda layer, x: attends(layer, x, **MASKS[name]), layer).eval(), torch.randn(1, *SHAPE)
    [row] = [row for row in analyse(network, SHAPE).children if row.type == "MultiheadAttention"]
    first = opened(network, row, image)[0]
    assert first.total == pytest.approx(network(image)[0, 0, 0].item(), abs=1e-6)
    scores, added, shares = (part.numbers for part in first.parts[:3])
    assert torch.allclose((scores + added).softmax(-1), shares)
    assert len(shares) == 12 + len(more)


def test_multi_head_attention_with_other_widths_opens_to_one_value() -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)

    def narrow(layer: nn.Module, x: Tensor) -> Any:
        return layer(tokens(x), tokens(x)[..., :6], value=tokens(x)[..., 4:])

    network, image = Applies(narrow, layer).eval(), torch.randn(1, *SHAPE)
    row = analyse(network, SHAPE).children[-1]
    assert opened(network, row, image)[-1].total == pytest.approx(network(image)[0, -1, -1].item(), abs=1e-6)


@pytest.mark.parametrize("name", ["swin_nano", "torchvision:swin_t"])
def test_attention_in_shifted_windows_opens_where_a_mask_covers_places(name: str) -> None:
    torch.manual_seed(0)
    spec = external.network_spec(name, image_size=64 if ":" in name else 32)
    network, image = spec.make().eval(), torch.randn(1, *spec.shape)
    tree = external.anatomy_of(spec)
    blocks = [row for _, row in tree.walk() if any(child.type == "roll" for child in row.children)]
    row = next(
        child for _, child in blocks[0].walk() if child.type in ("masked_fill", "softmax", "Softmax", "normalize")
    )
    assert values.opens(row)
    opened(network, row, image, 2)
    softmax = next(child for _, child in blocks[0].walk() if child.type in ("softmax", "Softmax"))
    scores = [value.parts[0].numbers for value in opened(network, softmax, image, 4)]
    assert any((of_one.max() - of_one.min()).item() > 50 for of_one in scores)  # the mask takes off 100, or all
