"""A person's own networks: stored with their files, built again elsewhere, refused in one line where that cannot be."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cnn_explorer as cx
import pytest
import torch
from cnn_explorer.models.own import own_files, stored, storing
from torch import nn

NET = """
from torch import nn
from .blocks import Block, WIDTH
from . import tools


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.block = Block(width)
        self.head = nn.Linear(WIDTH, 10)
        self.scale = tools.scale

    def forward(self, x):
        from .late import double
        return double(self.head(self.block(x).mean((2, 3))) * self.scale(2))
"""
FILES = {
    "proj/__init__.py": "",
    "proj/net.py": NET,
    "proj/blocks.py": """
        from torch import nn
        import proj.tools
        WIDTH = 6
        class Block(nn.Sequential):
            def __init__(self, width):
                super().__init__(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, WIDTH, 3))
    """,
    "proj/tools.py": "def scale(x):\n    return x\n",
    "proj/late.py": "def double(x):\n    return 2 * x\n",
    "proj/unused.py": "raise RuntimeError('nobody imports this')\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``proj`` that can be imported, forgotten afterwards."""
    for name, text in FILES.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    before = list(sys.path)
    yield tmp_path / "src"
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "proj"]:
        del sys.modules[name]


def made(width: int = 4) -> Any:
    return importlib.import_module("proj.net").Net(width)


def keep(network: Any, folder: Path, said: list[str] | None = None) -> stored.Stored:
    return storing.store(network, "own:Net", folder, (said if said is not None else []).append)


def equal(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    images = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    return same and torch.equal(first.eval()(images), second.eval()(images))


def elsewhere(folder: Path, code: str) -> str:
    """The output of code in a fresh interpreter without the project; ``network`` is built from the folder."""
    program = f"""
import sys
from pathlib import Path
import torch
from cnn_explorer.models.own import stored
network = stored.build(Path({str(folder)!r}), {{}})
{textwrap.dedent(code)}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_package_is_stored_with_what_it_imports_and_built_without_it(project: Path, tmp_path: Path) -> None:
    network = made(5)
    found = keep(network, tmp_path / "kept")
    places = {f"proj/{name}.py" for name in ("__init__", "net", "blocks", "tools", "late")}
    assert set(found.files) == places and found.path == f"{project}/proj/net.py:Net" and found.pickled == "pickle"
    with torch.no_grad():
        expected = network.eval()(torch.ones(1, 1, 12, 12)).tolist()
    (project / "proj").rename(tmp_path / "gone")
    scores = json.loads(elsewhere(tmp_path / "kept", "print(network.eval()(torch.ones(1, 1, 12, 12)).tolist())"))
    assert scores[0] == pytest.approx(expected[0], abs=1e-5)
    assert not list((tmp_path / "kept").rglob("__pycache__"))


def test_here_the_network_is_of_the_persons_own_class(project: Path, tmp_path: Path) -> None:
    network = made()
    keep(network, tmp_path / "kept")
    again: Any = stored.build(tmp_path / "kept", {})
    assert type(again) is type(network) and equal(network, again)
    assert again.block[0].weight is not network.block[0].weight


def test_a_later_edit_changes_nothing_of_what_is_stored(project: Path, tmp_path: Path) -> None:
    network = made()
    keep(network, tmp_path / "kept")
    for name, now in (("late", "def double(x):\n    return 3 * x\n"), ("blocks", "class Block: pass\n")):
        (project / "proj" / f"{name}.py").write_text(now)
    again: Any = stored.build(tmp_path / "kept", {})
    assert type(again) is not type(network) and equal(network, again)
    assert type(again.block) is vars(type(again))["__init__"].__globals__["Block"]
    assert sys.modules["proj.net"].Net is type(network)


def test_a_file_edited_since_it_was_imported_is_said(project: Path, tmp_path: Path) -> None:
    network, said = made(), []
    text = (project / "proj" / "net.py").read_text()
    (project / "proj" / "net.py").write_text("# a remark moves all lines\n\n" + text)
    keep(network, tmp_path / "first", said)
    assert said == []
    (project / "proj" / "net.py").write_text(text.replace("mean((2, 3))", "amax((2, 3))"))
    keep(network, tmp_path / "second", said)
    assert said == ["net.py has been edited since it was imported: the run uses the file as it is now"]
    images = torch.rand(2, 1, 12, 12)
    now: Any = stored.build(tmp_path / "second", {}).eval()(images)
    peak = network.block(images).amax((2, 3))
    assert torch.allclose(now, 4 * network.head(peak))
    said.clear()
    (project / "proj" / "tools.py").write_text("def scale(x):\n    return -x\n")
    keep(network, tmp_path / "third", said)
    assert [line.split()[0] for line in said] == ["net.py", "tools.py"]


@pytest.mark.parametrize("edit", ["FACTOR = 3.0", "    factor = 3.0", "factor=3.0"])
def test_an_edited_constant_is_said_too(project: Path, tmp_path: Path, edit: str) -> None:
    path, said = project / "proj" / "net.py", []
    path.write_text(
        path.read_text().replace(
            "class Net(",
            """
from enum import Enum
from typing import NamedTuple
FACTOR = 2.0
TABLE = {}
CALLS = 0
class Kind(Enum):
    A = 1
class Pair(NamedTuple):
    left: int = 1
def scaled(x, factor=2.0):
    global CALLS
    CALLS = CALLS + 1
    return x * factor
class Net(""",
        )
    )
    path.write_text(
        path.read_text()
        .replace("    def forward", "    factor = 2.0\n    def forward")
        .replace("return double(", "return self.factor * FACTOR * scaled(")
    )
    network = made()
    images = torch.rand(2, 1, 12, 12)
    before = network.eval()(images)
    sys.modules["proj.net"].TABLE["new"] = 1
    keep(network, tmp_path / "first", said)
    assert said == [] and type(stored.build(tmp_path / "first", {})) is type(network)
    path.write_text(path.read_text().replace(edit.replace("3.0", "2.0"), edit, 1))
    keep(network, tmp_path / "second", said)
    assert said == ["net.py has been edited since it was imported: the run uses the file as it is now"]
    again = stored.build(tmp_path / "second", {})
    assert torch.allclose(again.eval()(images), 1.5 * before)


@pytest.mark.parametrize("as_class", [True, False])
def test_a_file_that_is_gone_is_named(project: Path, tmp_path: Path, as_class: bool) -> None:
    network = made()
    (project / "proj" / "net.py").unlink()
    with pytest.raises(cx.UsageError, match=r"its file .*proj/net.py is not there any more"):
        keep(type(network) if as_class else network, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_file_reloaded_since_the_network_was_made_is_said(project: Path, tmp_path: Path) -> None:
    network, said = made(), []
    path = project / "proj" / "net.py"
    path.write_text(path.read_text().replace("return double(", "return 10 * double("))
    importlib.reload(sys.modules["proj.net"])
    assert type(network) is not sys.modules["proj.net"].Net
    keep(network, tmp_path / "kept", said)
    assert said == ["net.py was reloaded since the network was made: the run uses the file as it is now"]
    again: Any = stored.build(tmp_path / "kept", {})
    assert type(again) is sys.modules["proj.net"].Net
    images = torch.rand(2, 1, 12, 12)
    assert torch.allclose(again.eval()(images), 10 * network.eval()(images))


def test_all_that_a_network_holds_comes_back(project: Path, tmp_path: Path) -> None:
    network = made()
    network.second = nn.Linear(10, 6)
    network.second.weight = nn.Parameter(network.head.weight.detach().T.clone())
    network.tied = network.second
    network.register_buffer("unsaved", torch.arange(3.0), persistent=False)
    network.plain = {"table": [torch.arange(4)]}
    network.head.bias.requires_grad_(False)
    keep(network, tmp_path / "kept")
    again: Any = stored.build(tmp_path / "kept", {})
    assert equal(network, again) and again.tied is again.second and not again.head.bias.requires_grad
    assert torch.equal(again.unsaved, torch.arange(3.0)) and torch.equal(again.plain["table"][0], torch.arange(4))
    on_meta: Any = None
    with torch.device("meta"):
        on_meta = stored.build(tmp_path / "kept", {})
    assert on_meta.plain["table"][0].is_meta and on_meta.unsaved.is_meta and on_meta.head.weight.is_meta
    assert isinstance(on_meta.head.weight, nn.Parameter) and not on_meta.head.bias.requires_grad


def test_weights_that_a_class_leaves_out_of_its_pickle_come_back(project: Path, tmp_path: Path) -> None:
    (project / "proj" / "net.py").open("a").write("""
class Forgets(Net):
    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        self.__init__(4)

class Shrinks(Forgets):
    def __setstate__(self, state):
        self.__init__(3)
""")
    module = importlib.import_module("proj.net")
    network = module.Forgets(4)
    keep(network, tmp_path / "kept")
    assert equal(network, stored.build(tmp_path / "kept", {}))
    keep(module.Shrinks(4), tmp_path / "smaller")
    with pytest.raises(cx.UsageError, match="as another network; hand over its class"):
        stored.build(tmp_path / "smaller", {})


def test_a_partial_and_a_method_are_stored_as_well(project: Path, tmp_path: Path) -> None:
    (project / "proj" / "net.py").open("a").write("""
class Maker:
    def __init__(self, width):
        self.width = width

    def make(self):
        return Net(self.width)
""")
    module = importlib.import_module("proj.net")
    for number, maker in enumerate((functools.partial(module.Net, 7), module.Maker(7).make)):
        kept = keep(maker, tmp_path / f"kept{number}")
        assert kept.kind == "callable" and "proj/net.py" in kept.files
        code = "print(type(network).__name__, network.state_dict()['block.0.weight'].shape[0])"
        assert elsewhere(tmp_path / f"kept{number}", code) == "Net 7"


def test_first_weights_are_read_without_running_code(project: Path, tmp_path: Path) -> None:
    network = made()
    keep(network, tmp_path / "kept")
    kept = torch.load(tmp_path / "kept" / "initial.pt", weights_only=True)
    assert torch.equal(kept["state_dict"]["head.weight"], network.head.weight)


def test_a_network_of_installed_packages_needs_no_files(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    network = nn.Sequential(nn.Conv2d(1, 3, 1), resnet18(num_classes=10))
    assert keep(network, tmp_path / "kept").files == ()
    assert elsewhere(tmp_path / "kept", "print(sum(p.numel() for p in network.parameters()))") == "11181648"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("network.late = nn.LazyLinear(3)", "lazy layers without weights; call it once"),
        ("network.to('meta')", "is on the meta device"),
        ("network.lock = __import__('threading').Lock()", "cannot be stored: TypeError: cannot pickle '_thread.lock'"),
    ],
)
def test_what_cannot_be_stored_leaves_nothing(project: Path, tmp_path: Path, change: str, words: str) -> None:
    network = made()
    exec(change, {"network": network, "nn": nn})
    with pytest.raises(cx.UsageError, match=words) as caught:
        keep(network, tmp_path / "kept")
    assert "\n" not in str(caught.value) and not (tmp_path / "kept").exists()


def test_without_cloudpickle_a_lambda_is_refused_with_advice(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    network = made()
    keep(network, tmp_path / "without")
    network.activation = lambda x: x
    with pytest.raises(
        cx.UsageError, match=r"cannot be pickled.*%%writefile net.py.*pip install 'cnn-explorer\[notebook\]'"
    ):
        keep(network, tmp_path / "kept")


def test_with_cloudpickle_a_lambda_is_stored(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("cloudpickle")
    network = made()
    network.activation = lambda x: x + 1
    assert keep(network, tmp_path / "kept").pickled == "cloudpickle"
    assert elsewhere(tmp_path / "kept", "print(network.activation(2), type(network).__module__)") == "3 proj.net"


def test_a_missing_import_is_one_line(project: Path, tmp_path: Path) -> None:
    path = project / "proj" / "net.py"
    path.write_text("import importlib\nimportlib.import_module('proj.unused2')\n" + path.read_text())
    (project / "proj" / "unused2.py").write_text("")
    keep(made(), tmp_path / "network")
    (project / "proj").rename(tmp_path / "gone")
    for name in [name for name in sys.modules if name.partition(".")[0] == "proj"]:
        del sys.modules[name]
    with pytest.raises(
        cx.WorkError, match=r"it imports 'proj.unused2', which is neither stored .*\(proj/net.py, line 2\)"
    ):
        stored.build(tmp_path / "network", {})


def test_damaged_folders_are_work_errors(project: Path, tmp_path: Path) -> None:
    keep(made(), tmp_path / "kept")
    for name, contents in (("initial.pt", b"x"), ("object.pkl", b"x"), ("source.json", b"{}")):
        whole = (tmp_path / "kept" / name).read_bytes()
        (tmp_path / "kept" / name).write_bytes(contents)
        with pytest.raises(cx.WorkError, match=name) as caught:
            stored.build(tmp_path / "kept", {})
        (tmp_path / "kept" / name).write_bytes(whole)
        assert "\n" not in str(caught.value)
    with pytest.raises(cx.WorkError, match="No such file"):
        stored.build(tmp_path / "nowhere", {})


@pytest.mark.parametrize("leaving", ["raise KeyError('oh')", "raise SystemExit(0)"])
def test_a_forward_that_raises_anything_is_one_line_of_show(project: Path, leaving: str) -> None:
    path = project / "proj" / "net.py"
    path.write_text(path.read_text().replace("        from .late import double", f"        {leaving}"))
    with pytest.raises(
        cx.UsageError, match=r"proj.net:Net' cannot be run with 1x12x12: .*(KeyError|SystemExit): .*net.py, line"
    ):
        cx.anatomy("proj.net:Net", (1, 12, 12))


def test_a_callable_gets_what_it_has_parameters_for() -> None:
    given = {"num_classes": 7, "in_channels": 2, "image_size": 9}

    def some(num_classes: int, *, image_size: int = 1) -> nn.Module:
        return nn.Linear(image_size, num_classes)

    def every(**options: int) -> nn.Module:
        return nn.Linear(options["in_channels"], options["num_classes"])

    assert (stored.call("x", some, given).in_features, stored.call("x", every, given).in_features) == (9, 2)
    assert isinstance(stored.call("x", nn.Identity, given), nn.Identity)

    def hands_on(depth: int = 1, **options: int) -> nn.Module:
        return some(**options)

    assert vars(stored.call("x", hands_on, given))["out_features"] == 7

    def wrong(num_classes: int) -> nn.Module:
        raise KeyError(num_classes)

    place = rf"KeyError: 7 \(test_own_networks.py, line {wrong.__code__.co_firstlineno + 1}\)"
    with pytest.raises(cx.UsageError, match=f"cannot be built with num_classes=7: {place}"):
        stored.call("x", wrong, given)
    with pytest.raises(cx.UsageError, match="cannot be built: SystemExit: 0"):
        stored.call("x", lambda: sys.exit(0), given)
    with pytest.raises(cx.UsageError, match="made an int"):
        stored.call("x", lambda: 3, given)


def test_a_project_that_is_too_large_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    monkeypatch.setattr(own_files, "LARGEST", 100)
    with pytest.raises(cx.UsageError, match="install the project as a package"):
        own_files.collect(["proj.net"])
