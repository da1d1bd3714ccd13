"""Phrases that are the same for every row of a kind: activations, single functions, recurrent layers."""

from __future__ import annotations

from .quantities import Describe

SIMPLE = {
    "relu": "sets negative values to zero",
    "relu6": "cuts values to the range 0 to 6",
    "leaky_relu": "shrinks negative values",
    "elu": "bends negative values towards -1",
    "selu": "bends negative values, and scales all",
    "gelu": "lets large values through, bends small ones towards zero",
    "silu": "multiplies each value by its own sigmoid",
    "mish": "multiplies each value by a smooth gate of its own",
    "hardswish": "multiplies each value by a ramp, a cheap SiLU",
    "hardsigmoid": "squeezes values into 0 to 1 by a ramp",
    "hardtanh": "cuts values to a range",
    "clamp": "cuts values to a range",
    "sigmoid": "squeezes values into 0 to 1",
    "tanh": "squeezes values into -1 to 1",
    "softplus": "makes values positive, smoothly",
    "log_softmax": "turns scores into logarithms of shares",
    "dropout": "in training zeroes values at random; now lets all through",
    "dropout2d": "in training zeroes channels at random; now lets all through",
    "exp": "takes e to the power of each value",
    "sqrt": "takes the root of each value",
    "rsqrt": "takes one over the root of each value",
    "abs": "drops the signs",
    "neg": "turns the signs",
    "maximum": "keeps the larger of two values",
    "minimum": "keeps the smaller of two values",
    "masked_fill": "hides what a mask covers",
    "where": "chooses between two values by a mask",
    "normalize": "scales each vector to length 1",
    "cumsum": "adds up along an axis",
    "flip": "mirrors the map",
    "sign": "keeps the signs alone",
    "gt": "asks of each value whether it is larger",
    "lt": "asks of each value whether it is smaller",
    "ge": "asks of each value whether it is at least as large",
    "le": "asks of each value whether it is at most as large",
    "eq": "asks of each value whether it is equal",
    "ne": "asks of each value whether it is another",
    "and": "keeps what both masks have",
    "or": "keeps what either mask has",
    "xor": "keeps what only one of both masks has",
    "shift": "shifts the bits of each value",
    "sort": "sorts the values",
    "topk": "keeps the largest values",
    "affine_grid": "computes the places where the map is to be sampled",
    "max_unpool2d": "puts each value back where the maximum was, zeros elsewhere",
    **dict.fromkeys(("fft_fft2", "fft_rfft2"), "turns the map into its frequencies: each is made of all places"),
    **dict.fromkeys(
        ("fft_ifft2", "fft_irfft2"), "turns frequencies back into a map: each place is made of all of them"
    ),
    "argmax": "finds the place of the largest value",
    "stack": "stacks tensors along a new axis",
    "repeat": "repeats the values",
    "expand": "repeats the values",
    "repeat_interleave": "repeats each value",
    "index_select": "collects values by a fixed list of places",
    "gather": "collects values by an index",
    "assign": "writes values into a part of a tensor",
    "pixel_shuffle": "reads channels as neighbouring pixels, a larger map",
    "pixel_unshuffle": "reads neighbouring pixels as channels, a smaller map",
    "grid_sample": "samples the map at computed places",
    "one_hot": "turns a class into a vector with a single 1",
    "lstm": "reads the sequence step by step and keeps a memory",
}


def _simple(word: str) -> Describe:
    return lambda layer: SIMPLE[word]


PHRASES: dict[str, Describe] = {
    **dict.fromkeys(("RMSNorm", "rms_norm"), lambda layer: "scales each vector to root mean square 1"),
    "Identity": lambda layer: "hands the values on unchanged",
    "MaxUnpool2d": lambda layer: SIMPLE["max_unpool2d"],
    **dict.fromkeys(("LSTM", "GRU", "RNN"), lambda layer: SIMPLE["lstm"]),
    "LocalResponseNorm": lambda layer: "damps a value by the strength of its neighbour channels",
    "PReLU": lambda layer: "shrinks negative values by a learned factor",
    "prelu": lambda layer: "shrinks negative values by a learned factor",
    "PixelShuffle": lambda layer: SIMPLE["pixel_shuffle"],
    "PixelUnshuffle": lambda layer: SIMPLE["pixel_unshuffle"],
    "Dropout1d": lambda layer: SIMPLE["dropout2d"],
    "LeakyReLU": lambda layer: SIMPLE["leaky_relu"],
    "LogSoftmax": lambda layer: SIMPLE["log_softmax"],
    **{
        name: _simple(name.lower())
        for name in (
            "ReLU",
            "ReLU6",
            "ELU",
            "SELU",
            "GELU",
            "SiLU",
            "Mish",
            "Hardswish",
            "Hardsigmoid",
            "Hardtanh",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Dropout",
            "Dropout2d",
        )
    },
    **{word: _simple(word) for word in SIMPLE},
}
