"""What the walk says: shapes by the meaning of the axes, steps by what they do."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.words import formulas, walk
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse, analyse_variant
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


def analysed(network, shape: tuple[int, ...]) -> Layer:
    return analyse(counting.on_meta(network), shape)


def phrases(name: str) -> dict[str, str]:
    """What each module of a network does, by its name."""
    tree = external.anatomy_of(external.network_spec(name))
    return {row.name: walk.phrase(row) for _, row in tree.walk() if row.kind == "module" and row.executed}


def test_a_swin_transformer_is_told_by_its_layout() -> None:
    said = phrases("swin_tiny")
    assert "56×56 places, 96 channels" in said["stem"]
    assert "side 56 → 28, channels 96 → 192" in said["stage2"]
    assert "side 14 → 7, channels 384 → 768" in said["stage4"]
    assert said["stage1.0.attention"] == "attention among the 49 places of each of 64 windows, 3 heads"
    assert said["stage1.1.attention"].endswith("the windows are shifted by 3×3 places")
    assert said["stage4.1.attention"] == "attention among the 49 places, 24 heads"
    assert said["stage2.0"].startswith("patch merging")


CHANNELS_LAST = ("swin_tiny", "swin_v2_tiny", "nat_tiny", "dinat_tiny", "cyclemlp_b1")


@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_sides_of_channels_last_networks_shrink_from_stage_to_stage(name: str) -> None:
    tree = analyse_variant(name)
    layouts = [row.layout for row in tree.children if re.fullmatch(r"stem|stage\d", row.name)]
    size = tree.inputs[0][2]
    assert [layout.rows for layout in layouts if layout] == [size // by for by in (4, 4, 8, 16, 32)]
    widths = [layout.channels or 0 for layout in layouts if layout]
    assert widths == sorted(widths) and widths[-1] == 8 * widths[0]
    assert all(layout.axes[-1] == "channels" for layout in layouts if layout)


def test_tokens_know_their_grid_and_the_class_token() -> None:
    rows = {row.name: row for _, row in analyse_variant("vit_tiny_16").walk() if row.kind == "module"}
    stem, tokens, head = (rows[name].layout for name in ("stem", "tokens", "head"))
    assert stem and (stem.axes, stem.rows, stem.columns, stem.extra) == (("batch", "tokens", "channels"), 14, 14, 0)
    assert tokens and (tokens.rows, tokens.columns, tokens.extra, tokens.channels) == (14, 14, 1, 192)
    assert head and (head.rows, head.channels) == (None, 1000)


def test_what_cannot_be_followed_is_unknown_and_told_as_a_shape() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, 7, -1)

    row = analysed(Odd, (3, 7, 5)).children[0]
    assert row.layout is not None and (row.layout.rows, row.layout.channels) == (None, None)
    assert walk.phrase(row) == "reads 3×7×5 as 7×15"


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("se_resnet50", "stage1.0.conv3.gate", "squeeze-and-excitation"),
        ("se_resnet50", "stage1.0", "squeeze-and-excitation"),
        ("mixer_s16", "blocks.0.mix_tokens", "token mixing"),
        ("mixer_s16", "blocks", "token mixing"),
        ("resmlp_s12", "blocks", "token mixing"),
        ("gmlp_s16", "blocks.0.gate", "spatial gating"),
        ("capsnet", "classes", "routing by agreement: 1152 capsules vote for 10, 3 rounds"),
        ("nat_tiny", "stem", "two 3×3 convolutions; side 224 → 56"),
        ("nat_tiny", "stage1.0.attention", "attention of each of 3136 places to its 7×7 neighbours"),
        ("shufflenet_v1_100_g3", "stage2", "channel shuffle"),
        ("mobilevit_v2_050", "stage3", "separable attention"),
        ("vit_tiny_16", "tokens", "learned class token in front, 196 → 197"),
        ("vit_tiny_16", "stem", "patch embedding"),
        ("torchvision:efficientnet_b0", "features.1.0.block.1", "squeeze-and-excitation"),
        ("torchvision:swin_t", "features.1.1.attn", "the windows are shifted by 3×3 places"),
        (
            "torchvision:vit_b_16",
            "encoder.layers.encoder_layer_0.self_attention",
            "attention among the 197 places, 12 heads",
        ),
        ("torchvision:shufflenet_v2_x0_5", "stage2.1", "channel shuffle"),
    ],
)
def test_steps_are_named_for_what_they_do(name: str, module: str, words: str) -> None:
    assert words in phrases(name)[module]


def test_a_gate_is_recognised_by_its_parts_and_nothing_else_is_taken_for_one() -> None:
    class Gate(nn.Module):
        def __init__(self, averages: bool, squashes: bool) -> None:
            super().__init__()
            self.fc = nn.Conv2d(8, 8, 1)
            self.averages, self.squashes = averages, squashes

        def forward(self, x: Tensor) -> Tensor:
            s = self.fc(x.mean((2, 3), keepdim=True) if self.averages else x)
            return x * (s.sigmoid() if self.squashes else s)

    def said(*options: bool) -> str:
        return walk.phrase(analysed(lambda: nn.Sequential(nn.Conv2d(8, 8, 1), Gate(*options)), (8, 6, 6)).children[1])

    assert said(True, True).startswith("squeeze-and-excitation")
    assert "squeeze" not in said(True, False) and "squeeze" not in said(False, True)


def test_attention_written_by_hand_is_recognised() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            q, k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            shares = F.dropout((q @ k.transpose(-2, -1) / 2).softmax(-1), 0.1, self.training)
            return (shares @ v).transpose(1, 2).flatten(2)

    row = analysed(lambda: nn.Sequential(nn.Conv2d(8, 8, 1), ByHand()), (8, 5, 6)).children[1]
    assert walk.phrase(row) == "attention among the 30 places, 2 heads"


MIXES = re.compile(
    r"Attention|Mixing|Mixer|Gate$|SqueezeExcit|ClassCapsules|Former|TransformerLayer|EncoderBlock|SwinBlock"
)
WORDS = re.compile(r"attention|mix|gat|squeeze-and-excitation|routing|collect")


def silent(name: str) -> list[str]:
    """The rows with attention, mixing, gating or routing in them whose phrase does not say so, and any that "keep"."""
    found: list[str] = []

    def look(row: Layer) -> bool:
        inside = [look(child) for child in row.children if child.executed]
        meant = row.kind == "module" and bool(MIXES.search(row.type)) and not row.origin.startswith("torch.nn")
        said = walk.phrase(row) if row.executed else ""
        if "keeps the size" in said or (meant and not WORDS.search(said)):
            found.append(f"{row.name} {row.type}: {said}")
        if any(inside) and row.kind == "module" and row.children and not WORDS.search(said):
            found.append(f"{row.name} {row.type}: {said}")
        return meant or any(inside)

    look(analyse_variant(name))
    return found


SMALLEST = {min(family.variants, key=lambda variant: variant.paper_stem.macs).name for family in registry.families()}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SMALLEST else pytest.mark.slow) for n in registry.variants()]
)
def test_no_step_that_mixes_or_gates_is_silent_about_it(name: str) -> None:
    assert silent(name) == []


def test_a_bias_is_told_only_where_there_is_one() -> None:
    class Two(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 2, bias=False))

    _, first, second = (walk.phrase(row) for row in analysed(Two, (3, 2, 2)).children)
    assert first == "weighs all 12 values, 4 times + bias" and second == "weighs all 4 values, 2 times"


def test_parts_that_do_not_run_say_whether_training_runs_them() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.auxiliary = nn.Linear(4, 4), nn.Linear(4, 2)
            self.forgotten, self.nothing = nn.Linear(4, 3), nn.Dropout()

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            return x + self.auxiliary(x).sum() if self.training else x

    rows = {row.name: row for row in analysed(Parts, (3, 4, 4)).children}
    assert rows.keys() == {"body", "auxiliary", "forgotten"}, "a dropout that nobody calls is no part of the table"
    assert walk.phrase(rows["auxiliary"]) == "does not run outside training"
    assert walk.phrase(rows["forgotten"]) == "never runs"


def test_a_shortcut_without_a_module_leaves_no_row_that_never_runs() -> None:
    tree = analyse(counting.on_meta(lambda: torchvision.models.efficientnet_b0()), (3, 224, 224))
    assert all(row.executed for _, row in tree.walk())


@pytest.mark.parametrize(
    "name", ["cnn_lstm", "swin_nano", "cvt_13", "capsnet", "inception_v3", "torchvision:vit_b_16", "torchvision:r3d_18"]
)
def test_formulas_agree_with_their_rows(name: str) -> None:
    seen = 0
    for _, row in external.anatomy_of(external.network_spec(name)).walk():
        for formula in formulas.formulas(row):
            expected = {"parameters": row.parameters, "MACs": row.macs}.get(formula.what)
            assert expected in (None, formula.value), (row.name, formula)
            seen += 1
    assert seen > 5


def test_formulas_of_norms_kernels_and_attention() -> None:
    class Some(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.LayerNorm(8, bias=False), nn.Conv3d(2, 4, (1, 3, 5), padding=(0, 1, 2))

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(self.norm(x)).flatten(2)
            return F.scaled_dot_product_attention(x, x, x)

    norm, conv, _, attention = analyse(counting.on_meta(Some), (2, 3, 4, 8)).children
    assert [f.filled for f in formulas.formulas(norm)] == ["8"]
    assert formulas.formulas(conv)[-1].filled == "1·3·5·2/1·4·3·4·8" and conv.macs == formulas.formulas(conv)[-1].value
    [work] = formulas.formulas(attention)
    assert (work.filled, work.value) == ("4·4·(96 + 96)", attention.macs)


def test_torch_is_not_asked_for_random_numbers() -> None:
    before = torch.get_rng_state()
    analyse_variant("googlenet_aux")
    assert torch.equal(before, torch.get_rng_state())


class _Flat(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(nn.Linear(784 * channels, 64), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(len(x), -1)).mean(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_perceptron_weighs_all_values_whether_the_image_has_one_channel_or_three(channels: int) -> None:
    tree = analysed(lambda: _Flat(channels), (channels, 28, 28))
    assert [walk.phrase(row) for row in tree.children] == [
        "lays all values out in one row",
        f"weighs all {784 * channels} values, 64 times + bias",
        "weighs all 64 values, 10 times + bias",
        "averages all 10 values",
    ]


def test_a_linear_layer_over_the_places_of_each_channel_still_mixes_tokens() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x.flatten(2))

    assert walk.phrase(analysed(Mixer, (4, 8, 8)).children[-1]) == "mixes the tokens of each channel, 64 → 64 + bias"


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM, nn.RNN])
def test_what_a_recurrent_layer_makes_of_a_step_is_no_row_of_the_image(layer: type) -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = layer(28, 32, batch_first=True)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.steps(x.squeeze(1))[0][:, -1])

    assert walk.phrase(analysed(Rows, (1, 28, 28)).children[-1]) == "weighs all 32 values, 10 times + bias"


def test_values_read_as_a_matrix_are_no_parts_of_the_channels() -> None:
    tree = analysed(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Unflatten(1, (2, 3))), (3, 2, 2))
    assert walk.phrase(tree.children[-1]) == "lays the 6 values out as 2×3"


def test_a_map_laid_out_by_view_does_not_join_parts_of_channels() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(-1, 90) * 2

    assert walk.phrase(analysed(Net, (10, 3, 3)).children[0]) == "lays all values out in one row"


def test_a_table_that_nobody_learns_is_not_called_learned() -> None:
    class Tables(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.learned = nn.Parameter(torch.zeros(4, 8, 8))
            self.waves: Tensor
            self.register_buffer("waves", torch.zeros(4, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.learned.flip(0).relu()
            x = x + self.waves
            x = x - torch.ones(4, 8, 8, device=x.device)
            return x * torch.linspace(0, 1, 8, device=x.device).expand(4, 8, 8)

    assert [walk.phrase(row) for row in analysed(Tables, (4, 8, 8)).children] == [
        "adds a learned table",
        "adds a fixed table",
        "subtracts a fixed table",
        "multiplies by fixed factors",
    ]


SAID = {
    "shuffles the 4 channels, so that the groups meet": nn.ChannelShuffle(2),
    "keeps the length of the values of each 2×2 window, every second pixel": nn.LPPool2d(2, 2),
    "keeps the mean of each window of 2, every second pixel": nn.AvgPool1d(2),
    "looks through a window of 3, 8 → 4 channels": nn.Conv1d(8, 4, 3),
}


@pytest.mark.parametrize("said", SAID)
def test_layers_of_torch_are_told_by_what_they_do(said: str) -> None:
    layer = SAID[said]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x[:, 0] if "1d" in type(layer).__name__ else x)

    rows = analysed(Net, (4, 8, 8)).children
    assert walk.phrase(rows[-1]) == said


def test_a_batch_norm_of_timm_with_its_activation_is_told_as_a_norm() -> None:
    timm = pytest.importorskip("timm")
    tree = analysed(lambda: timm.create_model("resnetv2_50", pretrained=False), (3, 64, 64))
    norm = next(row for _, row in tree.walk() if row.type == "BatchNormAct2d")
    assert walk.phrase(norm).startswith("brings each channel to mean 0 and standard deviation 1")


OPERATIONS_SAID = {
    "mirrors the map": lambda x: x.flip(3),
    "takes the variance of each channel over all places": lambda x: x.var((2, 3)),
    "keeps a smooth maximum of each channel over all places": lambda x: x.logsumexp((2, 3)),
    "turns the map into its frequencies: each is made of all places": torch.fft.rfft2,
}


@pytest.mark.parametrize("said", OPERATIONS_SAID)
def test_operations_are_told_by_what_they_do(said: str) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return OPERATIONS_SAID[said](x)

    assert walk.phrase(analysed(Net, (4, 8, 8)).children[0]) == said


def test_attention_by_hand_adds_up_the_values_with_the_shares_and_no_other_product_does() -> None:
    class ByHand(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            shares = F.dropout((tokens @ tokens.mT).softmax(-1), 0.1, self.training)
            return (shares @ tokens) @ tokens.mT

    said = [walk.phrase(row) for row in analysed(ByHand, (8, 4, 4)).children if row.type == "matmul"]
    assert said[1] == "adds up the values with these shares"
    assert "shares" not in said[0] and "shares" not in said[2]


def test_a_layer_with_a_computed_weight_is_told_as_the_layer_that_was_written() -> None:
    def make() -> nn.Module:
        first = parametrizations.weight_norm(nn.Conv2d(1, 8, 3))
        return nn.Sequential(first, parametrizations.spectral_norm(nn.Conv2d(8, 8, 3, bias=False)))

    tree = analysed(make, (1, 28, 28))
    assert [(row.type, row.children) for row in tree.children] == [("Conv2d", ()), ("Conv2d", ())]
    assert [walk.phrase(row) for row in tree.children] == [
        "looks through a 3×3 window, 1 → 8 channels",
        "looks through a 3×3 window",
    ]
    assert [row.parameters for row in tree.children] == [8 + 72 + 8, 576]
    assert tree.children[1].reads == (tree.children[0].id,)
