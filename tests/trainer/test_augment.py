"""Augmentation and batches: each operation against its plain form, and everything a function of seed and epoch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.trainer.batches import augment, mixup_cutmix, placement, randaugment
from cnn_explorer.trainer.batches.batches import InputTransform, TrainingBatches, evaluation_batches
from cnn_explorer.trainer.common import rng
from cnn_explorer.trainer.config.recipe import AUGMENTATIONS, Recipe
from cnn_explorer.trainer.data.datasets import LabelledImages
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.devices.process_group import ALONE, Group
from torch import Tensor

CPU = torch.device("cpu")
ALL_BUT_TRANSLATE = tuple(name for name in AUGMENTATIONS if name != "translate")


def bytes_of(count: int = 6, channels: int = 3, size: int = 8) -> Tensor:
    return torch.randint(0, 256, (count, channels, size, size), generator=torch.Generator().manual_seed(1)).byte()


def batches(recipe: Recipe, count: int = 20, size: int = 8, seed: int = 0, input_size: int | None = None):
    samples = LabelledImages(bytes_of(count, size=size), torch.arange(count) % 4)
    return TrainingBatches(samples, InputTransform((0.5,) * 3, (0.25,) * 3, input_size or size, CPU), recipe, seed, 4)


def test_mirrored_border_is_that_of_torch() -> None:
    images = bytes_of()
    expected = F.pad(images.float(), (3, 3, 3, 3), mode="reflect").byte()
    assert torch.equal(augment.with_border(images, 3, "mirror"), expected)


def test_a_mirrored_border_may_be_wider_than_the_image() -> None:
    assert augment.with_border(bytes_of(size=2), 5, "mirror").shape == (6, 3, 12, 12)
    assert torch.equal(augment.with_border(bytes_of(size=1), 2, "mirror"), bytes_of(size=1).expand(-1, -1, 5, 5))


def test_every_window_is_the_plain_crop() -> None:
    bordered = augment.with_border(bytes_of(), 2, "black")
    for row in range(5):
        for column in range(5):
            draws = {"row": torch.full((6,), row), "column": torch.full((6,), column)}
            cropped = augment.gather(bordered, torch.arange(6), draws, 2)
            assert torch.equal(cropped, bordered[:, :, row : row + 8, column : column + 8])
    assert torch.equal(
        augment.gather(
            bordered, torch.arange(6), {"row": 2 + 0 * torch.arange(6), "column": 2 + 0 * torch.arange(6)}, 2
        ),
        bytes_of(),
    )


def test_flip_mirrors_the_chosen_images_only() -> None:
    images = bytes_of()
    flipped = augment.flip(images, torch.tensor([True, False, True, False, False, True]))
    assert torch.equal(flipped[0], images[0].flip(2))
    assert torch.equal(flipped[1], images[1])


@pytest.mark.parametrize(("row", "column", "pixels"), [(4, 4, 16), (0, 0, 4), (7, 4, 12)])
def test_cutout_makes_one_square_hole_that_may_hang_over_the_edge(row: int, column: int, pixels: int) -> None:
    images = torch.ones(1, 3, 8, 8)
    holed = augment.cut_out(images, torch.tensor([row]), torch.tensor([column]), 4)
    assert (holed == 0).sum() == 3 * pixels
    assert torch.equal(images, torch.ones(1, 3, 8, 8))


def test_draws_follow_from_seed_and_epoch_alone() -> None:
    recipe = Recipe(augment=ALL_BUT_TRANSLATE)
    first = augment.draw(recipe, 50, 8, rng.generator(3, "augmentation", 7))
    torch.rand(5)
    again = augment.draw(recipe, 50, 8, rng.generator(3, "augmentation", 7))
    later = augment.draw(recipe, 50, 8, rng.generator(3, "augmentation", 8))
    assert first.keys() == again.keys()
    for name, values in first.items():
        assert len(values) == 50
        assert torch.equal(values, again[name])
        assert not torch.equal(values, later[name]), name
    assert first["row"].min() == 0 and first["row"].max() == 8
    assert set(first["signs"].unique().tolist()) == {-1, 1}


def test_an_epoch_shows_every_image_once_in_a_new_order() -> None:
    made = batches(Recipe(batch_size=5))
    first, second = made.epoch(0), made.epoch(1)
    assert sorted(first.order.tolist()) == list(range(20))
    assert not torch.equal(first.order, second.order)
    assert torch.equal(first.order, batches(Recipe(batch_size=5)).epoch(0).order)
    assert not torch.equal(first.order, batches(Recipe(batch_size=5), seed=1).epoch(0).order)


def test_batches_leave_out_the_rest_and_keep_image_and_class_together() -> None:
    made = batches(Recipe(batch_size=6))
    assert made.steps_per_epoch == 3
    epoch = made.epoch(0)
    images, targets = made.batch(epoch, 2)
    index = epoch.order[12:18]
    expected = (bytes_of(20)[index].double() / 255 - 0.5) / 0.25
    assert torch.allclose(images.double(), expected, atol=1e-5)
    assert torch.equal(targets, index % 4)


def test_a_part_of_a_larger_set_is_taken_by_its_rows() -> None:
    rows = torch.tensor([1, 3, 5, 7])
    part = LabelledImages(bytes_of(8), torch.arange(4), rows)
    made = TrainingBatches(part, InputTransform((0.0,) * 3, (1 / 255,) * 3, 8, CPU), Recipe(batch_size=4), 0, 4)
    images, targets = made.batch(made.epoch(0), 0)
    assert torch.allclose(images, bytes_of(8)[rows[targets]].float(), atol=1e-2)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_changes_training_batches_and_no_others(name: str) -> None:
    plain, changed = batches(Recipe(batch_size=10)), batches(Recipe(batch_size=10, augment=(name,), cutout_size=4))
    (before, _), (after, targets) = (made.batch(made.epoch(0), 0) for made in (plain, changed))
    assert after.shape == before.shape and after.dtype == torch.float32
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)
    assert targets.shape == ((10, 4) if name in ("mixup", "cutmix") else (10,))
    again = changed.batch(changed.epoch(0), 0)[0]
    assert torch.equal(after, again), "the same epoch must give the same images"


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "flip-alternating"])
def test_every_epoch_draws_anew(name: str) -> None:
    """Not only the order of the images is another one: what is drawn for the first place of the order is, too."""
    made = batches(Recipe(batch_size=10, augment=(name,)), count=40)
    first, second, again = (made.epoch(number).draws for number in (0, 1, 0))
    assert first
    for key, values in first.items():
        assert torch.equal(values, again[key]), key
        assert not torch.equal(values, second[key]), key


@pytest.mark.parametrize(("coin", "chosen"), [(0.0, "mixup"), (0.49, "mixup"), (0.51, "cutmix"), (0.99, "cutmix")])
def test_a_batch_is_blended_or_pasted_by_the_coin_of_its_first_image(coin: float, chosen: str) -> None:
    recipe = Recipe(augment=("mixup", "cutmix"))
    images, targets = raw(), torch.tensor([0, 1, 2, 3])
    share, middle = torch.tensor([0.3, 0.4, 0.5, 0.6]), torch.full((4,), 0.5)
    draws = {"mix": torch.stack([share, middle, middle, torch.tensor([coin, 1 - coin, coin, 1 - coin])], 1)}
    alone = Recipe(augment=(chosen,))
    expected, expected_targets = augment.mix(images, targets, draws, alone, 4)
    found, found_targets = augment.mix(images, targets, draws, recipe, 4)
    assert torch.equal(found, expected) and torch.equal(found_targets, expected_targets)
    other, _ = augment.mix(images, targets, draws, Recipe(augment=("cutmix" if chosen == "mixup" else "mixup",)), 4)
    assert not torch.equal(found, other)


def test_both_ways_of_mixing_are_met() -> None:
    coins = augment.draw(Recipe(augment=("mixup", "cutmix")), 1000, 8, torch.Generator().manual_seed(0))["mix"][:, -1]
    assert 400 < (coins < 0.5).sum() < 600


def test_all_augmentations_work_together() -> None:
    made = batches(Recipe(batch_size=10, augment=ALL_BUT_TRANSLATE), input_size=16)
    images, targets = made.batch(made.epoch(0), 1)
    assert images.shape == (10, 3, 16, 16)
    assert torch.allclose(targets.sum(1), torch.ones(10))


@pytest.mark.parametrize("recipe", [Recipe(batch_size=4), Recipe(batch_size=4, augment=ALL_BUT_TRANSLATE)])
@pytest.mark.parametrize("rank", [None, 1])
def test_images_in_main_memory_give_the_same_batches(recipe: Recipe, rank: int | None) -> None:
    group = ALONE
    if rank is not None:
        group = Group()
        group.rank, group.world = rank, 2
    rows = torch.tensor([0, 2, 3, 5, 7, 8, 11, 13, 14, 17])
    samples = LabelledImages(bytes_of(20), torch.arange(10) % 4, rows)
    input_transform = InputTransform((0.5,) * 3, (0.25,) * 3, 8, CPU)
    near = TrainingBatches(samples, input_transform, recipe, 3, 4, group)
    far = TrainingBatches(samples, input_transform, recipe, 3, 4, group, on_device=False)
    steps = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]  # in order, and as a resumed run may ask
    epochs = [(near.epoch(number), far.epoch(number)) for number in (0, 1)]
    for number, position in steps:
        first, second = (
            batches.batch(epoch, position) for batches, epoch in zip((near, far), epochs[number], strict=True)
        )
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_images_stay_in_main_memory_where_the_device_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, recipe = LabelledImages(bytes_of(20), torch.arange(20)), Recipe(augment=("crop",), crop_padding=4)
    assert placement.size(samples, recipe) == 20 * 3 * 16 * 16
    monkeypatch.setattr(hardware, "free_memory", lambda device: 5 * 20 * 3 * 16 * 16)
    assert placement.fits(samples, recipe, CPU)
    monkeypatch.setattr(hardware, "free_memory", lambda device: 4 * 20 * 3 * 16 * 16)
    assert not placement.fits(samples, recipe, CPU)


def test_evaluation_sees_the_images_as_they_are_and_all_of_them() -> None:
    samples = LabelledImages(bytes_of(7), torch.arange(7))
    input_transform = InputTransform((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 8, CPU)
    found = list(evaluation_batches(samples, input_transform, batch=3))
    assert [len(targets) for _, targets in found] == [3, 3, 1]
    images = torch.cat([images for images, _ in found]).double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    assert torch.allclose(images, (bytes_of(7).double() / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "at_least", "sizes"), [(32, 1, [500, 100]), (64, 1, [125] * 4 + [100]), (64, 300, [300, 300])]
)
def test_evaluation_takes_fewer_large_images_at_a_time(size: int, at_least: int, sizes: list[int]) -> None:
    samples = LabelledImages(torch.zeros(600, 1, 4, 4, dtype=torch.uint8), torch.zeros(600, dtype=torch.int64))
    input_transform = InputTransform((0.5,), (0.5,), size, CPU)
    assert [len(targets) for _, targets in evaluation_batches(samples, input_transform, at_least)] == sizes


def test_images_are_resized_with_antialiasing_to_the_size_of_the_network() -> None:
    stripes = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    stripes[..., ::2] = 255
    input_transform = InputTransform((0.0,), (1.0,), 4, CPU)
    small = input_transform.sized(input_transform.normalised(stripes))
    assert small.shape == (1, 1, 4, 4)
    assert torch.allclose(small[..., 1:-1], torch.full((1, 1, 4, 2), 0.5), atol=0.1)


def test_channels_last_is_a_layout_and_changes_no_value() -> None:
    images = bytes_of()
    plain, last = (InputTransform((0.5,) * 3, (0.25,) * 3, 8, CPU, channels_last=flag) for flag in (False, True))
    first, second = plain.sized(plain.normalised(images)), last.sized(last.normalised(images))
    assert first.is_contiguous() and second.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, second)


def raw(count: int = 4, channels: int = 3) -> Tensor:
    return bytes_of(count, channels).float()


def operation(name: str, sign: int, strength: float = 0.5) -> Tensor:
    operations = torch.tensor([[randaugment.OPERATIONS.index(name), 0]] * 4)
    return randaugment.randaugment(raw(), operations, torch.full((4, 2), sign), strength)


def test_randaugment_leaves_an_image_alone_where_identity_is_drawn() -> None:
    assert torch.allclose(operation("identity", 1), raw(), atol=0.05)


@pytest.mark.parametrize("name", randaugment.OPERATIONS[1:])
def test_each_operation_does_something_and_stays_in_range(name: str) -> None:
    changed = operation(name, 1)
    assert (changed - raw()).abs().max() > 1
    assert changed.min() >= 0 and changed.max() <= 255


def test_the_sign_turns_an_operation_round() -> None:
    turned = F.pad(torch.ones(1, 1, 2, 2), (3, 3, 3, 3)) * 255
    nothing = torch.zeros(1)
    right, left = (
        randaugment.warped(turned, nothing, (nothing, nothing), (torch.tensor([s]), nothing)) for s in (-0.25, 0.25)
    )
    assert torch.allclose(right, left.flip(3), atol=1e-2)
    assert right[0, 0, 3].argmax() == 4 and left[0, 0, 3].argmax() == 2


def test_a_quarter_turn() -> None:
    images = raw(1)
    nothing = torch.zeros(1)
    turned = randaugment.warped(images, torch.tensor([torch.pi / 2]), (nothing, nothing), (nothing, nothing))
    assert any(torch.allclose(turned, images.rot90(k, (2, 3)), atol=0.1) for k in (1, 3))


def test_brightness_contrast_and_saturation() -> None:
    images = torch.full((1, 3, 2, 2), 100.0)
    images[:, 0] = 40.0
    nothing, half = torch.zeros(1), torch.tensor([0.5])
    assert torch.allclose(randaugment.colours(images, half, nothing, nothing), images * 1.5)
    assert torch.allclose(randaugment.colours(images, nothing, half, nothing), 80 + (images - 80) * 1.5)
    assert torch.allclose(randaugment.colours(images, nothing, nothing, half), 80 + (images - 80) * 1.5)
    grey = torch.full((1, 1, 2, 2), 100.0)
    assert torch.equal(randaugment.colours(grey, nothing, nothing, half), grey)


def test_solarize_and_posterize() -> None:
    values = torch.tensor([0.0, 100.0, 200.0, 255.0]).view(1, 1, 2, 2)
    assert randaugment.solarized(values, torch.tensor([0.5])).flatten().tolist() == [0, 100, 55, 0]
    assert torch.equal(randaugment.solarized(values, torch.zeros(1)), values)
    assert randaugment.posterized(values, torch.ones(1)).flatten().tolist() == [0, 96, 192, 240]
    assert torch.equal(randaugment.posterized(values + 0.5, torch.zeros(1)), values + 0.5)


def test_mixup_blends_images_and_targets_alike() -> None:
    images, targets = raw(), mixup_cutmix.probabilities(torch.tensor([0, 1, 2, 3]), 4)
    share = torch.tensor([1.0, 0.25, 0.5, 0.0])
    mixed, mixed_targets = mixup_cutmix.mixup(images, targets, share)
    assert torch.allclose(mixed[0], images[0]) and torch.allclose(mixed[3], images[0])
    assert torch.allclose(mixed[1], 0.25 * images[1] + 0.75 * images[2])
    assert mixed_targets[1].tolist() == [0, 0.25, 0.75, 0]


def test_cutmix_targets_follow_the_pasted_area() -> None:
    images = torch.stack([torch.full((1, 8, 8), float(number)) for number in range(4)])
    targets = mixup_cutmix.probabilities(torch.tensor([0, 1, 2, 3]), 4)
    share = torch.tensor([0.75, 0.75, 0.0, 1.0])
    middle = torch.tensor([0.5, 0.0, 0.5, 0.5])
    mixed, mixed_targets = mixup_cutmix.cutmix(images, targets, share, middle, middle)
    for number, partner in enumerate((3, 2, 1, 0)):
        pasted = (mixed[number] == partner).sum().item() / 64
        assert mixed_targets[number, partner].item() == pytest.approx(pasted)
    assert mixed_targets[0, 3].item() == 0.25
    assert 0 < mixed_targets[1, 2].item() < 0.25, "the box hangs over the corner"
    assert mixed_targets[2, 1].item() == 1.0 and mixed_targets[3, 3].item() == 1.0
