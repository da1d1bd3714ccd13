"""The options of `cnn-explorer train`, each with its type and what ``--help`` says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Networks, trained one after the other.")]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="digits (default), mnist, fashion-mnist, cifar10, cifar100, folder:PATH."),
]

# The recipe
Preset = Annotated[str | None, typer.Option("--recipe", metavar="NAME", help="A recipe by name: baseline, speedrun.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training pictures.")]
BatchSize = Annotated[int | None, typer.Option(help="Pictures per update.")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Optimizer = Annotated[str | None, typer.Option(help="sgd, adam, adamw, rmsprop, lamb or muon.")]
Momentum = Annotated[float | None, typer.Option(help="Momentum of SGD or Muon.")]
WeightDecay = Annotated[float | None, typer.Option(help="Not on norms and biases.")]
Sam = Annotated[str | None, typer.Option(help="none, sam or asam: look for flat minima, at twice the cost.")]
Schedule = Annotated[str | None, typer.Option(help="constant, step, linear, cosine or one-cycle.")]
Warmup = Annotated[float | None, typer.Option(help="Epochs in which the learning rate rises.")]
LabelSmoothing = Annotated[float | None, typer.Option(help="Part of the target spread over all classes.")]
ClassWeights = Annotated[str | None, typer.Option(help="none, balanced, or a number per class: 1,2.5,1.")]
Sampling = Annotated[str | None, typer.Option(help="uniform, or balanced: all classes equally often.")]
ClipNorm = Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0: any.")]
Ema = Annotated[float | None, typer.Option(help="Decay of a moving average of the weights; 0: none.")]
Augment = Annotated[str | None, typer.Option(help="Comma-separated: crop, translate, flip, jitter, randaugment …")]
NoAugment = Annotated[bool, typer.Option("--no-augment", help="Train on the pictures as they are.")]
Tta = Annotated[str | None, typer.Option(help="none, or flip: the test looks at mirror images as well.")]
Assign = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any value of the recipe, e.g. gamma=0.2.")
]

# Weights to begin with
Pretrained = Annotated[
    bool | None,
    typer.Option("--pretrained/--no-pretrained", help="Begin with the weights that torchvision publishes."),
]
Weights = Annotated[str | None, typer.Option(metavar="NAME", help="Which of those weights, e.g. IMAGENET1K_V1.")]
InitFrom = Annotated[
    str | None, typer.Option(metavar="ID|FILE", help="Begin with the weights of a run or a file, where they fit.")
]
GrowFrom = Annotated[
    str | None, typer.Option(metavar="ID|FILE", help="Begin with a trained shallower network of the family (VGG).")
]
Freeze = Annotated[str | None, typer.Option(metavar="backbone|none", help="What was taken over and does not learn.")]
BackboneRate = Annotated[
    float | None,
    typer.Option("--backbone-lr", metavar="FACTOR", help="Rate of what was taken over, as a part of the head's."),
]
LayerDecay = Annotated[
    float | None, typer.Option(metavar="FACTOR", help="Rate from stage to stage towards the picture.")
]

# Network, data and hardware
Config = Annotated[Path | None, typer.Option(help="TOML written by hand, or a run.json to repeat.")]
Seed = Annotated[int | None, typer.Option(help="Everything random follows from it (default 0).")]
Validation = Annotated[float | None, typer.Option(help="Share or number of pictures held out; 0: none.")]
Stem = Annotated[str | None, typer.Option(help="auto, small or imagenet: the network's layout.")]
ImageSize = Annotated[int | None, typer.Option(help="Side of the pictures that the network sees.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")]
ChannelsLast = Annotated[
    bool | None, typer.Option("--channels-last/--no-channels-last", help="Colours of a pixel side by side in memory.")
]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")]
CudaGraphs = Annotated[
    bool | None, typer.Option("--cuda-graphs/--no-cuda-graphs", help="Replay recorded GPU kernels; for small networks.")
]
Tf32 = Annotated[bool | None, typer.Option("--tf32/--no-tf32", help="Rounded factors in fp32 products on the GPU.")]
DataOnDevice = Annotated[
    bool | None,
    typer.Option("--data-on-device/--no-data-on-device", help="All pictures in the device's memory, or one batch."),
]
Devices = Annotated[
    str | None,
    typer.Option(metavar="N|LIST|all", help="Several: one network on all of them, several networks side by side."),
]
Threads = Annotated[int | None, typer.Option(help="Threads of the CPU.")]
CheckpointMinutes = Annotated[
    float | None, typer.Option(help="Minutes between checkpoints within an epoch (default 5).")
]
Keep = Annotated[int | None, typer.Option(help="How many checkpoints made after an epoch are kept (default 0).")]
Calibrate = Annotated[
    bool | None,
    typer.Option("--calibrate/--no-calibrate", help="Try anew what is fast on this machine, or try nothing."),
]

# What is done
Plan = Annotated[bool, typer.Option("--plan", help="Show what would be trained and how long; train nothing.")]
FindLr = Annotated[bool, typer.Option("--find-lr", help="Try out learning rates, draw their losses; train nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Train in the background; print the id, return.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end.")]
Runs = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the runs.")]
Data = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the data sets.")]
RunId = Annotated[list[str] | None, typer.Option("--run", hidden=True)]
AsRank = Annotated[Path | None, typer.Option("--as-rank", hidden=True)]
LockFd = Annotated[list[int] | None, typer.Option("--lock-fd", hidden=True)]
