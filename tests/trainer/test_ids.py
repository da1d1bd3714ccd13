"""Names of runs: made, checked, shortened and found again."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.runs import annotations, ids
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def make(runs: Path, *names: str) -> None:
    for name in names:
        (runs / name).mkdir()
        (runs / name / "run.json").write_text("{}")


def test_a_name_tells_time_network_and_data_set():
    name = ids.new_id("resnet18", "cifar10", NOON)
    assert re.fullmatch(r"20261120-120000-resnet18-cifar10-[0-9a-z]{4}", name)


def test_the_time_in_a_name_is_utc():
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert ids.new_id("lenet5", "mnist", there)[:15] == "20261120-120000"


def test_paths_and_odd_characters_do_not_get_into_a_name():
    name = ids.new_id("timm:vit/../x", "folder:/images/My Cats & Dogs/", NOON)
    assert ids.is_id(name)
    assert "-x-my_cats_dogs-" in name


@given(st.text(max_size=60), st.text(max_size=60))
def test_every_name_made_is_a_valid_id(network, dataset):
    name = ids.new_id(network, dataset, NOON)
    assert ids.check_id(name) == name
    assert len(name) <= ids.LONGEST


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "/etc", "-x", ".hidden", "a\nb", "a b", "ä", "x" * 129])
def test_names_that_could_lead_elsewhere_are_refused(text, tmp_path):
    with pytest.raises(UsageError) as caught:
        ids.resolve(tmp_path, text)
    assert caught.value.field == "run"
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("./-_aB0~\\\n\0"), max_size=8))
def test_whatever_is_accepted_stays_in_the_folder(text):
    if ids.is_id(text):
        assert (Path("/runs") / text).parent == Path("/runs")
        assert Path(text).name == text


def test_whole_ids_beginnings_and_endings_are_found(tmp_path):
    make(tmp_path, "20261120-120000-lenet5-mnist-aaaa", "20261121-120000-lenet5-mnist-bbbb")
    for text in ("20261121-120000-lenet5-mnist-bbbb", "20261121", "bbbb", "mnist-bbbb"):
        assert ids.resolve(tmp_path, text).name.endswith("bbbb"), text


def test_a_whole_id_wins_over_a_longer_one_that_begins_alike(tmp_path):
    make(tmp_path, "run", "run-2")
    assert ids.resolve(tmp_path, "run") == tmp_path / "run"


def test_a_beginning_of_several_names_them(tmp_path):
    make(tmp_path, "20261120-120000-lenet5-mnist-aaaa", "20261120-120001-lenet5-mnist-bbbb")
    with pytest.raises(UsageError, match="fits 2 runs: 20261120-120001-lenet5-mnist-bbbb, 20261120-120000"):
        ids.resolve(tmp_path, "20261120")


OLD, NEW = "20261120-120000-lenet5-mnist-aaaa", "20261121-120000-lenet5-mnist-best"


def test_a_tag_that_a_later_run_has_as_a_part_of_its_id_names_neither(tmp_path):
    make(tmp_path, OLD)
    annotations.add_tags(tmp_path / OLD, ["best", "20261121-12"])
    assert ids.resolve(tmp_path, "best").name == ids.resolve(tmp_path, "20261121-12").name == OLD
    make(tmp_path, NEW)
    for text in ("best", "20261121-12"):
        with pytest.raises(UsageError, match=f"is a part of the id of {NEW} and a tag of {OLD}; give an id"):
            ids.resolve(tmp_path, text)
    assert ids.resolve(tmp_path, NEW).name == ids.resolve(tmp_path, "20261121").name == NEW
    assert ids.resolve(tmp_path, "last").name == NEW


def test_a_tag_of_the_run_whose_id_it_is_a_part_of_names_that_run(tmp_path):
    make(tmp_path, OLD, NEW)
    annotations.add_tags(tmp_path / NEW, ["best"])
    assert ids.resolve(tmp_path, "best").name == NEW


@pytest.mark.parametrize("tag", ["best", "mnist-best", "2026", "20261121-12", NEW, " best "])
def test_a_part_of_the_id_of_another_run_is_no_tag(tmp_path, tag):
    make(tmp_path, OLD, NEW)
    with pytest.raises(UsageError, match=r"^tag: .* is a part of the id of .*; choose another word$"):
        ids.check_new_tags(tmp_path / OLD, ["fine", tag])


def test_other_words_and_parts_of_the_own_id_are_tags(tmp_path):
    make(tmp_path, OLD, NEW)
    ids.check_new_tags(tmp_path / NEW, ["best", "20261121", "lenet5", "est", "of my thesis"])


def test_last_is_the_newest_by_the_time_in_the_name(tmp_path):
    make(tmp_path, "20261121-120000-lenet5-mnist-aaaa", "20261120-120000-lenet5-mnist-bbbb")
    assert ids.resolve(tmp_path, "last").name.endswith("aaaa")


def test_last_of_a_queue_is_the_one_created_last(tmp_path):
    make(tmp_path, "20261120-120000-a-mnist-zzzz", "20261120-120000-b-mnist-aaaa")
    assert ids.resolve(tmp_path, "last").name == "20261120-120000-b-mnist-aaaa"


def test_a_miss_names_the_nearest_run(tmp_path):
    make(tmp_path, "20261120-120000-lenet5-mnist-aaaa", "20261121-120000-resnet18-cifar10-bbbb")
    with pytest.raises(UsageError, match="did you mean '20261121-120000-resnet18-cifar10-bbbb'"):
        ids.resolve(tmp_path, "resnet18")
    with pytest.raises(UsageError, match="did you mean '20261120-120000-lenet5-mnist-aaaa'"):
        ids.resolve(tmp_path, "20261120-120000-lenet5-mnist-aaab")
    with pytest.raises(UsageError, match="the newest is '20261121"):
        ids.resolve(tmp_path, "zz")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((word, "last") for word in ("Last", "lats", "LAST", "lasst")),
        *(
            (word, NEW)
            for word in ("8m8d", "8M8B", "20261121-12001", "20261121-120000-resnet18-elastic-8m8d", "resnet")
        ),
        *((word, OLD) for word in ("7f3b", "lenet", "20261120-13", "20261120-130000")),
        *((word, "good") for word in ("Good", "goot", "goood")),
        ("größer", "größe"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_id_the_tag_or_last(tmp_path, typed, meant):
    old, new = "20261120-120000-lenet5-mnist-7f3a", "20261121-120000-resnet18-elastic-8m8b"
    make(tmp_path, old, new)
    annotations.add_tags(tmp_path / old, ["good", "größe"])
    for name in (old, new):
        annotations.add_tags(tmp_path / name, ["baseline"])
    with pytest.raises(UsageError, match=f"did you mean '{ {OLD: old, NEW: new}.get(meant, meant) }'"):
        ids.resolve(tmp_path, typed)


@pytest.mark.parametrize("typed", ["zz", "zzzz", "baselime", "vgg"])
def test_a_word_like_nothing_is_answered_with_the_newest(tmp_path, typed):
    make(tmp_path, OLD, NEW)
    for name in (OLD, NEW):
        annotations.add_tags(tmp_path / name, ["baseline"])  # which would be refused as well: it is a tag of two
    with pytest.raises(UsageError, match=f"the newest is '{NEW}'"):
        ids.resolve(tmp_path, typed)


def test_no_runs_at_all_is_said(tmp_path):
    with pytest.raises(UsageError, match="holds no runs"):
        ids.resolve(tmp_path / "missing", "last")


def test_links_files_and_other_folders_are_no_runs(tmp_path):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    runs.mkdir()
    make(tmp_path, "outside")
    (runs / "link").symlink_to(outside)
    (runs / "empty").mkdir()
    (runs / "file").write_text("")
    (runs / ".hidden").mkdir()
    (runs / ".hidden" / "run.json").write_text("{}")
    make(runs, "real")
    assert ids.run_names(runs) == ["real"]
    with pytest.raises(UsageError):
        ids.resolve(runs, "link")


def test_a_file_for_a_folder_is_said(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        ids.run_names(tmp_path / "runs")
    with pytest.raises(UsageError, match="a part of this path is a file"):
        ids.run_names(tmp_path / "runs" / "below")


def test_short_names_find_their_runs(tmp_path):
    names = [
        "20261120-120000-lenet5-mnist-7f3a",
        "20261120-120000-resnet18-mnist-7f3a",  # the same ending
        "20261120-120001-lenet5-mnist-2026",  # an ending that is a beginning as well
        "20261121-120000-lenet5-mnist-bbbb",
        "by_hand",
    ]
    make(tmp_path, *names)
    short = ids.short_names(names)
    assert short["20261121-120000-lenet5-mnist-bbbb"] == "bbbb"
    assert short["by_hand"] == "by_hand"
    for name, text in short.items():
        assert ids.resolve(tmp_path, text).name == name


@given(st.sets(st.from_regex(r"2026112[01]-12000[01]-(a|b)-(c|c-d)-[0-9a-z]{4}", fullmatch=True), max_size=12))
def test_short_names_are_unique(names):
    short = ids.short_names(names)
    assert len(set(short.values())) == len(names)
