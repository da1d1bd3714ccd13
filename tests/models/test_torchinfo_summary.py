"""torchinfo's own summary: its totals against ours, and the reasons of each difference, which add up."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torchinfo
from cnn_explorer.errors import UsageError
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.outside.external import NetworkSpec
from cnn_explorer.models.anatomy.totals import torchinfo_summary as summaries
from cnn_explorer.models.anatomy.totals.torchinfo_summary import TorchinfoSummary
from cnn_explorer.models.catalogue import registry
from support.families import FAMILIES
from torch import Tensor, nn

SMALLEST = {
    min(registry.family(family).variants, key=lambda variant: variant.counts("small").macs).name for family in FAMILIES
}
SAMPLED_NAMES = [pytest.param(name, marks=() if name in SMALLEST else pytest.mark.slow) for name in registry.variants()]


def of_catalogue(name: str, batch: int = 1) -> TorchinfoSummary:
    return summaries.summarise(external.network_spec(name), batch)


def of_own(make: Callable[[], nn.Module], shape: tuple[int, ...] = (3, 8, 8)) -> TorchinfoSummary:
    return summaries.summarise(NetworkSpec("own:Net", make, shape))


def reasons(summary: TorchinfoSummary) -> dict[str, int]:
    return {difference.kind: difference.macs for difference in summary.differences}


@pytest.mark.parametrize("name", SAMPLED_NAMES)
def test_totals_agree_with_torchinfos_or_differ_by_what_is_told(name: str) -> None:
    summary = of_catalogue(name)
    stamped = registry.find(name).counts("imagenet")
    assert (summary.parameters, summary.macs) == (stamped.parameters, stamped.macs)
    assert summary.statistics.total_params - summary.repeated == stamped.parameters
    assert sum(reasons(summary).values()) == summary.macs - summary.statistics.total_mult_adds
    assert summaries.UNEXPLAINED not in reasons(summary)


def test_a_vision_transformer_by_its_formulas() -> None:
    tokens, width, hidden, blocks = 197, 768, 3072, 12
    linear = 4 * width**2 + 2 * width * hidden
    assert reasons(of_catalogue("vit_b_16")) == {
        "tokens": blocks * (tokens - 1) * linear,
        "attention": blocks * 2 * tokens**2 * width,
        "bias": -(196 * width + blocks * (5 * width + hidden) + 1000),
        "normalisation": -(2 * blocks + 1) * 2 * width,
    }


def test_a_batch_multiplies_both_totals() -> None:
    one, three = of_catalogue("vit_tiny_16"), of_catalogue("vit_tiny_16", batch=3)
    assert reasons(three) == {kind: 3 * macs for kind, macs in reasons(one).items()}
    assert three.statistics.total_mult_adds == 3 * one.statistics.total_mult_adds


@pytest.mark.parametrize("name", ["swin_tiny", "cvt_13"])
def test_attention_is_what_the_layer_table_has_as_products(name: str) -> None:
    tree = external.anatomy_of(external.network_spec(name))
    rows = sum(layer.macs for _, layer in tree.walk() if layer.kind == "operation")
    assert reasons(of_catalogue(name))["attention"] == rows > 0


def test_networks_without_attention() -> None:
    assert reasons(of_catalogue("resnet18")) == {"normalisation": -9600, "bias": -1000}
    assert reasons(of_catalogue("mixer_b16")).keys() == {"tokens", "bias", "normalisation"}
    routing = 5 * 10 * 1152 * 16  # three weighted sums and two agreements; the votes use a weight of their module
    assert reasons(of_catalogue("capsnet"))["products"] == routing


class Functional(nn.Module):
    """One weight of a layer that is never called, one convolution in a class of another name, one scale."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 5, bias=False)
        self.filter = Filter()
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False)
        self.rectify = nn.PReLU(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectify(self.up(self.filter(x @ self.layer.weight.T @ self.layer.weight)))


class Filter(nn.Module):
    """A convolution in a module that is no Conv by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight)


def test_what_happens_outside_of_layers_is_told_apart() -> None:
    assert reasons(of_own(Functional)) == {
        "direct": 2 * 3 * 8 * 8 * 5,
        "places": 63 * 12,
        "transposed": (64 - 256) * 4 * 2 * 4,
        "scale": -2,
    }


class Blur(nn.Module):
    """Smooths each channel with a filter that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.full((1, 1, 3, 3), 1 / 9))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.get_buffer("filter").expand(3, 1, 3, 3), groups=3)


def test_a_filter_that_does_not_learn_is_no_product_of_activations() -> None:
    assert reasons(of_own(Blur)) == {"fixed": 3 * 9 * 36}


class Tied(nn.Module):
    """Two layers with one weight; the first is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.first(x)))


def test_shared_weights_are_told_and_repeated_calls_agree() -> None:
    summary = of_own(Tied)
    assert (summary.parameters, summary.statistics.total_params, summary.repeated) == (81, 162, 81)
    assert summaries.explanation(summary) == [
        "15.6 k MACs; torchinfo counts the same.",
        "81 parameters; torchinfo counts 162: 81 shared ones for each layer that has them.",
    ]


class Partly(nn.Module):
    """Uses a part of its weight: torchinfo counts all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight[:2].T


def test_what_is_not_known_is_not_invented() -> None:
    summary = of_own(Partly, (3,))
    assert summaries.explanation(summary) == ["6 MACs; torchinfo counts 12: 6 of our 6 are not explained."]


def test_a_linear_map_over_tokens_is_told_whatever_its_class_is_called() -> None:
    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight)

    assert reasons(of_own(Mix, (7, 3))) == {"tokens": 6 * 12}


def test_the_sentence_names_the_reasons_from_the_largest_to_the_smallest() -> None:
    assert summaries.explanation(of_catalogue("vit_b_16")) == [
        "17.6 G MACs; torchinfo counts 202 M: linear layers once instead of for each token (16.6 G less), no "
        "attention, which is not a layer (715 M less), also biases (234 k more), also the weights of normalisation "
        "(38.4 k more)."
    ]


def test_the_table_has_the_depth_and_the_columns_that_were_chosen() -> None:
    summary = of_catalogue("vit_tiny_16")
    table = summaries.table_text(summary, depth=1, columns=("input_size", "mult_adds"), rows=("depth",))
    header = table.splitlines()[1]
    assert "Input Shape" in header and "Mult-Adds" in header and "Param #" not in header
    assert "[1, 3, 224, 224]" in table and "1-1" in table and "2-1" not in table
    assert "Total mult-adds (M): " in table
    assert "2-1" in summaries.table_text(summary, depth=2) and "3-1" not in summaries.table_text(summary, depth=2)
    deepest = summaries.table_text(summary, summary.deepest)
    assert f"{summary.deepest}-1" in deepest
    assert deepest == summaries.table_text(summary, summary.deepest + 1)


def test_all_columns_can_be_shown() -> None:
    assert summaries.parse_columns(None) == summaries.USUAL_COLUMNS
    columns = summaries.parse_columns(", ".join(summaries.COLUMNS))
    assert columns == summaries.COLUMNS
    assert "Trainable" in summaries.table_text(of_own(Tied), columns=columns)
    with pytest.raises(UsageError, match=r"'params' is unknown; .*num_params"):
        summaries.parse_columns("output_size,params")


class DependsOnValues(nn.Module):
    """Cannot run without numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x


def test_real_values_where_a_network_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "anatomy_of", lambda spec, batch: None)
    assert of_own(DependsOnValues).macs == 36 * 3 * 4 * 9


def test_a_network_that_cannot_run_is_one_line() -> None:
    with pytest.raises(UsageError) as refused:
        of_own(lambda: nn.Linear(5, 5))
    assert "\n" not in str(refused.value) and "own:Net" in str(refused.value)


def test_a_network_with_batch_normalisation_and_dropout_runs_in_eval_mode() -> None:
    made = []

    def make() -> nn.Module:
        made.append(nn.Sequential(nn.Conv2d(3, 4, 8, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.5)))
        return made[-1]

    assert reasons(of_own(make)) == {"normalisation": -8}


def test_nothing_is_left_behind() -> None:
    torch.manual_seed(3)
    random.seed(3)
    before = torch.random.get_rng_state(), random.getstate()
    of_catalogue("lenet5")
    assert torch.equal(torch.random.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert torchinfo.torchinfo._cached_forward_pass == {}
