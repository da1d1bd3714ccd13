"""Networks of one's own that are wrong, each in its way, with what is said of them; and odd ones that are right.

Each is the text of a file, with a class or function ``Net`` in it. The line that is to be named ends in ``# HERE``.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
MODULE = """
class Net(nn.Module):{at_class}
    def __init__(self, num_classes=10):
        super().__init__()
        {init}
    def forward(self, x{more}):{at_forward}
        {forward}
"""


def module(init: str = "", forward: str = "return x", more: str = "", at_forward: str = "", at_class: str = "") -> str:
    """The text of a file with a module; lines of a part are separated by newlines."""
    lines = {key: textwrap.dedent(text).replace("\n", "\n        ") for key, text in (("i", init), ("f", forward))}
    return HEAD + MODULE.format(
        init=lines["i"] or "pass", forward=lines["f"], more=more, at_forward=at_forward, at_class=at_class
    )


@dataclass(frozen=True)
class Faulty:
    """``show`` and ``train`` are words that stand in what each says; where ``train`` is empty it says the same.

    ``shows``: it is faulty in training alone.
    """

    text: str
    show: str
    train: str = ""
    shows: bool = False

    @property
    def line(self) -> int:
        """The line that is to be named, 0 where there is none."""
        return next((number for number, line in enumerate(self.text.splitlines(), 1) if "# HERE" in line), 0)


CONV = "self.conv = nn.Conv2d(1, 4, 3)\nself.head = nn.Linear(4, num_classes)"
POOLED = "self.head(self.conv(x).mean((2, 3)))"

FAULTY = {
    # at import
    "syntax": Faulty(HEAD + "def Net(:  # HERE\n    pass\n", "cannot be imported: SyntaxError: "),
    "indentation": Faulty(
        HEAD + "def Net():\npass  # HERE\n", "cannot be imported: IndentationError: expected an indented"
    ),
    "missing_import": Faulty(HEAD + "import no_such_module_xyz  # HERE\n", "No module named 'no_such_module_xyz'"),
    "name_error": Faulty(HEAD + "Net = Nett  # HERE\n", "cannot be imported: NameError: name 'Nett' is not defined"),
    "exit_at_import": Faulty(HEAD + "import sys\nsys.exit(3)  # HERE\n", "cannot be imported: SystemExit: 3"),
    "input_at_import": Faulty(HEAD + "width = int(input('width? '))  # HERE\n", "cannot be imported: EOFError"),
    "base_exception_at_import": Faulty(
        HEAD + "class Odd(BaseException): pass\nraise Odd('no reason')  # HERE\n", "cannot be imported: Odd: no reason"
    ),
    "says_nothing_at_import": Faulty(
        HEAD + "class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute()  # HERE\n",
        "cannot be imported: Mute (",
    ),
    # while it is built
    "needs_arguments": Faulty(
        HEAD + "def Net(width, depth):  # HERE\n    pass\n", "cannot be built: TypeError: Net() missing 2 required"
    ),
    "typo_in_init": Faulty(
        module("self.conv = nn.Conv2D(1, 4, 3)  # HERE"), "AttributeError: module 'torch.nn' has no"
    ),
    "no_super": Faulty(
        HEAD + "class Net(nn.Module):\n    def __init__(self):\n        self.conv = nn.Conv2d(1, 4, 3)  # HERE\n",
        "cannot assign module before Module.__init__() call",
    ),
    "endless_recursion": Faulty(
        HEAD + "def deeper(n):\n    return deeper(n + 1)  # HERE\ndef Net():\n    return deeper(0)\n",
        "RecursionError: maximum recursion depth exceeded",
    ),
    "no_memory": Faulty(HEAD + "def Net():\n    raise MemoryError('too much')  # HERE\n", "MemoryError: too much"),
    "exit_while_built": Faulty(HEAD + "def Net():\n    raise SystemExit  # HERE\n", "cannot be built: SystemExit ("),
    "missing_file": Faulty(
        HEAD + "def Net():\n    return open('/no/such/weights.pt')  # HERE\n",
        "FileNotFoundError: [Errno 2] No such file",
    ),
    "factory_returns_none": Faulty(
        HEAD + "def Net():  # HERE\n    nn.Linear(1, 1)\n", "made a NoneType, not a torch.nn"
    ),
    "factory_returns_list": Faulty(
        HEAD + "def Net():  # HERE\n    return [nn.Linear(1, 1)]\n", "made a list, not a torch.nn.Module"
    ),
    "negative_channels": Faulty(
        module("self.conv = nn.Conv2d(1, -4, 3)  # HERE"), "Trying to create tensor with negative"
    ),
    "bad_groups": Faulty(
        module("self.conv = nn.Conv2d(3, 4, 3, groups=2)  # HERE"),
        "ValueError: in_channels must be divisible by groups",
    ),
    "dataclass": Faulty(
        HEAD + "from dataclasses import dataclass\n@dataclass  # HERE\nclass Net(nn.Module):\n    width: int = 4\n"
        "    def __post_init__(self):\n        super().__init__()\n        self.head = nn.Linear(784, 10)\n"
        "    def forward(self, x):\n        return self.head(x.flatten(1))\n",
        "class Net, which defines __eq__ without __hash__, and torch needs both; write @dataclass(eq=False)",
    ),
    # while it runs
    "no_forward": Faulty(
        HEAD + "class Net(nn.Module):  # HERE\n    def __init__(self):\n        super().__init__()\n"
        "        self.head = nn.Linear(2, 10)\n",
        'is missing the required "forward" function',
    ),
    "typo_in_forward": Faulty(
        module(CONV, "return self.head(self.conv2(x))  # HERE"), "AttributeError: 'Net' object has no attribute 'conv2'"
    ),
    "returns_nothing": Faulty(
        module(CONV, "self.head(self.conv(x).mean((2, 3)))", at_forward="  # HERE"),
        "returns nothing (its forward has no return)",
    ),
    "returns_a_word": Faulty(
        module(CONV, "return 'cat'", at_forward="  # HERE"),
        "returns a str without a tensor",
        "returns a str; to be trained",
    ),
    "yields": Faulty(
        module(CONV, f"yield {POOLED}", at_forward="  # HERE"),
        "returns a generator without",
        "returns a generator; to be",
    ),
    "key_error": Faulty(
        module("self.layers = nn.ModuleDict()", "return self.layers['conv'](x)  # HERE"), "KeyError: 'conv'"
    ),
    "index_error": Faulty(module(CONV, "return [self.conv][1](x)  # HERE"), "list index out of range"),
    "assertion": Faulty(module(CONV, "assert x.shape[1] == 4, 'four channels'  # HERE\nreturn x"), "four channels"),
    "exit_in_forward": Faulty(module(CONV, "raise SystemExit(7)  # HERE"), "SystemExit: 7"),
    "recursion_in_forward": Faulty(module(CONV, "return self.forward(x)  # HERE"), "RecursionError: maximum recursion"),
    "too_many_inputs": Faulty(
        module(CONV, f"return {POOLED}", more=", y", at_forward="  # HERE"),
        "its forward takes several inputs; give each",
        "its forward takes several inputs, and in",
    ),
    "flatten_forgotten": Faulty(
        module("self.head = nn.Linear(784, num_classes)", "return self.head(x)  # HERE"),
        "layer 'head' (Linear) was given 1x1x28x28: a map of 1×28×28 arrives, this Linear expects 784 values; flatten it",
        "layer 'head' (Linear) was given 2x1x28x28: a map of 1×28×28 arrives",
    ),
    "wrong_linear": Faulty(
        module(
            "self.conv = nn.Conv2d(1, 4, 3)\nself.head = nn.Linear(400, num_classes)",
            "return self.head(self.conv(x).flatten(1))  # HERE",
        ),
        "2704 = 4×26×26 values arrive, this Linear expects 400 = 4×10×10; write 2704; torch says: mat1 and mat2 shapes "
        "cannot be multiplied (1x2704 and 400x10)",
        "2704 = 4×26×26 values arrive, this Linear expects 400 = 4×10×10; write 2704; torch says: mat1 and mat2 shapes "
        "cannot be multiplied (2x2704 and 400x10)",
    ),
    "wrong_view": Faulty(
        module(CONV, "return self.conv(x).view(-1, 400)  # HERE"),
        "an image has 2704 = 4×26×26 values here, not 400; write 2704, or x.flatten(1); torch says: shape '[-1, 400]' is",
    ),
    "wrong_channels": Faulty(
        module("self.a = nn.Conv2d(1, 4, 3)\nself.b = nn.Conv2d(8, 4, 3)", "return self.b(self.a(x))  # HERE"),
        "layer 'b' (Conv2d) was given 1x4x26x26: 4 channels arrive, this Conv2d expects 8; write 4; torch says: Given",
        "layer 'b' (Conv2d) was given 2x4x26x26: 4 channels arrive, this Conv2d expects 8; write 4; torch says: Given",
    ),
    "wrong_batch_norm": Faulty(
        module("self.a = nn.Conv2d(1, 4, 3)\nself.norm = nn.BatchNorm2d(8)", "return self.norm(self.a(x))  # HERE"),
        "4 channels arrive, this BatchNorm2d expects 8; write 4; torch says: running_mean should contain 4 elements not 8",
    ),
    "wrong_layer_norm": Faulty(
        module("self.norm = nn.LayerNorm(8)\nself.c = nn.Linear(4, 1)", "return self.norm(x)  # HERE"),
        "28 arrive, this LayerNorm expects 8; write 28; torch says: Given normalized_shape=[8], expected input with shape",
    ),
    "unequal_sum": Faulty(
        module("self.a = nn.Conv2d(1, 4, 3)\nself.b = nn.Conv2d(1, 4, 5)", "return self.a(x) + self.b(x)  # HERE"),
        "4×26×26 and 4×24×24 cannot be added: their shapes must be equal; torch says: The size of tensor a (26) must match",
    ),
    "unequal_concatenation": Faulty(
        module(
            "self.a = nn.Conv2d(1, 4, 3)\nself.b = nn.Conv2d(1, 4, 5)",
            "return torch.cat([self.a(x), self.b(x)], 1)  # HERE",
        ),
        "4×26×26 and 4×24×24 cannot be concatenated: they may differ in one axis alone; torch says: Sizes of tensors must",
    ),
    "functional_linear": Faulty(
        module("self.w = nn.Parameter(torch.zeros(10, 700))", "return F.linear(x.flatten(1), self.w)  # HERE"),
        "784 = 1×28×28 values arrive, this product expects 700; write 784; torch says: mat1 and mat2 shapes cannot be",
    ),
    "map_too_small": Faulty(
        module("self.a = nn.Conv2d(1, 4, 29)", "return self.a(x)  # HERE"),
        "a map of 28×28 arrives, too small for this Conv2d",
    ),
    "leaves_like_a_generator": Faulty(module(CONV, "raise GeneratorExit('odd')  # HERE"), "GeneratorExit: odd"),
    "parameters_written_over": Faulty(
        module(CONV, f"return {POOLED}")
        + "    def parameters(self, recurse=True):\n        raise RuntimeError('no parameters')  # HERE\n",
        "cannot be run: RuntimeError: no parameters",
    ),
    # in training alone
    "fails_in_training": Faulty(
        module(CONV, f"if self.training:\n    raise ZeroDivisionError('odd')  # HERE\nreturn {POOLED}"),
        "",
        "fails in training: ZeroDivisionError: odd",
        shows=True,
    ),
    "softmax": Faulty(
        module(CONV, f"return {POOLED}.softmax(1)", at_forward="  # HERE"),
        "",
        "returns probabilities (rows ≥ 0 that add up to 1)",
        shows=True,
    ),
    "softmax_over_images": Faulty(
        module(CONV, f"return {POOLED}.softmax(0)", at_forward="  # HERE"),
        "",
        "ends in a softmax over the images of the batch (dim 0)",
        shows=True,
    ),
    "detached": Faulty(
        module(CONV, f"return {POOLED}.detach()", at_forward="  # HERE"),
        "",
        "returns scores without a gradient",
        shows=True,
    ),
    "not_a_number": Faulty(
        module(CONV, f"return {POOLED} / 0 * 0", at_forward="  # HERE"),
        "",
        "returns infinite scores or NaN",
        shows=True,
    ),
    "argmax": Faulty(
        module(CONV, f"return {POOLED}.argsort(1)", at_forward="  # HERE"),
        "",
        "returns whole numbers (int64)",
        shows=True,
    ),
    "dictionary": Faulty(
        module(CONV, f"return {{'logits': {POOLED}}}", at_forward="  # HERE"),
        "",
        "returns a dict; to be trained it must return scores of shape (batch, classes); return one of its values (logits)",
        shows=True,
    ),
    "too_many_scores": Faulty(
        module("self.head = nn.Linear(784, 1000)", "return self.head(x.flatten(1))", at_forward="  # HERE"),
        "",
        "returns 1000 scores for an image, and digits has 10 classes",
        shows=True,
    ),
    "too_few_scores": Faulty(
        module("self.head = nn.Linear(784, 7)", "return self.head(x.flatten(1))", at_forward="  # HERE"),
        "",
        "returns 7 scores for an image, and digits has 10 classes",
        shows=True,
    ),
    "a_map": Faulty(
        module(CONV, "return self.conv(x)", at_forward="  # HERE"), "", "returns 2×4×26×26 for 2 images", shows=True
    ),
    "nothing_learns": Faulty(
        module(CONV + "\nself.requires_grad_(False)", f"return {POOLED}", at_forward="  # HERE"),
        "",
        "has no parameters that learn",
        shows=True,
    ),
    "wrong_loss": Faulty(
        module(CONV, f"return {POOLED}")
        + "    def training_loss(self, outputs, images, targets, criterion):\n        return outputs['x']  # HERE\n",
        "",
        "fails in training: ",
        shows=True,
    ),
}

ODD = {
    "log_softmax": module(CONV, f"return F.log_softmax({POOLED}, 1)"),
    "tuple_in_training": module(CONV, f"y = {POOLED}\nreturn (y, x) if self.training else y"),
    "lazy": module("self.conv = nn.LazyConv2d(4, 3)\nself.head = nn.LazyLinear(num_classes)", f"return {POOLED}"),
    "shared": module(
        "self.conv = nn.Conv2d(1, 4, 3)\nself.mix = nn.Linear(4, 4)\nself.head = nn.Linear(4, num_classes)\n"
        "self.same = self.mix",
        "return self.head(self.same(self.mix(self.conv(x).mean((2, 3)))))",
    ),
    "module_dict": module(
        "self.layers = nn.ModuleDict({'conv': nn.Conv2d(1, 4, 3), 'head': nn.Linear(4, num_classes)})",
        "return self.layers['head'](self.layers['conv'](x).mean((2, 3)))",
    ),
    "unused": module(CONV + "\nself.spare = nn.Linear(3, 3)", f"return {POOLED}"),
    "reads_values": module(CONV, f"y = {POOLED}\nreturn y if x.sum() > 0 else y * x.mean().item()"),
    "boolean_index": module(CONV, "y = self.conv(x)\ny = y[y > -1e9].view(len(x), 4, -1).mean(2)\nreturn self.head(y)"),
    "rates": module(
        CONV + "\nself.rates = [rate.item() for rate in torch.linspace(0, 0.1, 4)]",
        f"return {POOLED} * (1 + self.rates[3])",
    ),
    "new_tensor": module(CONV, f"return {POOLED} * torch.tensor([float(x.shape[1])])"),
    "complex": module(
        CONV + "\nself.turn = nn.Parameter(torch.ones(4, dtype=torch.complex64))",
        "return self.head((self.conv(x).mean((2, 3)) * self.turn).abs())",
    ),
    "double_inside": module(
        "self.conv = nn.Conv2d(1, 4, 3)\nself.head = nn.Linear(4, num_classes).double()",
        "return self.head(self.conv(x).mean((2, 3)).double())",
    ),
    "prints": module("print('built')\n" + CONV, f"print('runs')\nreturn {POOLED}"),
    "function": HEAD
    + "def Net(num_classes=10):\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))\n",
    "train_returns_nothing": module(CONV, f"return {POOLED}")
    + "    def train(self, mode=True):\n        super().train(mode)\n",
    "named_tuple": module(
        CONV, f"from collections import namedtuple\nreturn namedtuple('Out', 'scores maps')({POOLED}, x)"
    ),
}
