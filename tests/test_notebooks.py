"""The notebooks of docs/examples run from top to bottom, and cells do what docs/api.md says of notebooks."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import cnn_explorer
import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra test)")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra test)")
pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra test)")
pytest.importorskip("pandas", reason="pandas is not installed (extra test)")

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "docs" / "examples").glob("*.ipynb"))


@pytest.fixture
def kernel(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run notebooks in; kernels get one thread and write nothing outside of it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(home / "jupyter"))
    monkeypatch.setenv("JUPYTER_ALLOW_INSECURE_WRITES", "1")
    (home / "work").mkdir()
    return home / "work"


def executed(notebook: Any, folder: Path) -> Any:
    client = nbclient.NotebookClient(
        notebook, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def shown(cell: Any) -> str:
    """What a cell printed and returned, as text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(texts)


def of_cells(*cells: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])


def test_there_are_two_examples_without_outputs() -> None:
    assert [path.stem for path in EXAMPLES] == ["take-a-network-apart", "train-and-compare"]
    for path in EXAMPLES:
        assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells), path.name


def test_take_a_network_apart(kernel: Path) -> None:
    done = executed(nbformat.read(EXAMPLES[0], as_version=4), kernel)
    tables = [
        output.data["text/html"]
        for cell in done.cells
        for output in cell.get("outputs", ())
        if "data" in output and "text/html" in output.data
    ]
    assert len(tables) == 3 and all("<table" in table for table in tables)
    assert "61,706 parameters" in tables[0] and "Residual" in tables[1]
    last = shown(done.cells[-1])
    assert "the smallest square that works is 63" in last and last.count("\n") == 1


def without_magics(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if not line.startswith("%"))


def test_the_examples_use_names_that_there_are() -> None:
    """The cheap half of running them: each cell is Python, and what it takes from the package is in it."""
    for path in EXAMPLES:
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        nodes = [node for source in cells for node in ast.walk(ast.parse(without_magics(source)))]
        used = {n.attr for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "cx"}
        assert len(used) > 1 and used <= set(dir(cnn_explorer)), path.name


@pytest.mark.slow
def test_train_and_compare(kernel: Path) -> None:
    done = executed(nbformat.read(EXAMPLES[1], as_version=4), kernel)
    said = [shown(cell) for cell in done.cells if cell.cell_type == "code"]
    assert any(text.startswith("True False") for text in said)
    assert any("LeNet-5" in text and "best epoch" in text for text in said)
    assert "finished" in said[-1] and "test accuracy" in said[-1]


@pytest.mark.slow
def test_a_class_of_a_cell_and_one_of_a_file_that_is_reloaded(kernel: Path) -> None:
    pytest.importorskip("cloudpickle")
    quick = "dict(epochs=1, threads=1, device='cpu', calibrate=False, batch_size=256)"
    net = (
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    done = executed(
        of_cells(
            f"import cnn_explorer as cx\nquick = {quick}",
            net,
            "run = cx.train(Net(), **quick).wait(300)\nprint(isinstance(run.load(), Net))",
            net,
            "print(isinstance(run.load(), Net))",
            "Net.marked = True\nprint(hasattr(run.load(), 'marked'))",
            "%load_ext autoreload\n%autoreload 2",
            "%%writefile own_net.py\n" + net,
            "import sys; sys.path.insert(0, '')\nimport own_net\nnetwork = own_net.Net()",
            "open('own_net.py', 'a').write('    def forward(self, x):\\n        return 2 * super().forward(x)\\n')\n"
            "own_net.Net",
            "run = cx.train(network, **quick).wait(300)\nprint(type(run.load()).forward is own_net.Net.forward)",
        ),
        kernel,
    )
    assert shown(done.cells[2]).rstrip().endswith("True") and shown(done.cells[4]) == "True\n"
    assert shown(done.cells[5]) == "False\n"  # its class is another one now, and the stored one stays what it was
    assert shown(done.cells[-1]).rstrip().endswith("True")


def test_without_cloudpickle_the_cell_of_a_notebook_raises(kernel: Path) -> None:
    notebook = of_cells(
        "import sys; sys.modules['cloudpickle'] = None\nimport cnn_explorer as cx\nfrom torch import nn",
        "class Net(nn.Flatten): pass\ncx.train(Net())",
    )
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=r"%%writefile net\.py"):
        executed(notebook, kernel)
    assert not os.path.exists(os.environ["CNN_EXPLORER_RUNS"])
