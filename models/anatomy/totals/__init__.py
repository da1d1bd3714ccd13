"""The figures of a whole network: the memory of a training step, networks side by side, and torchinfo's own summary.

In this order: live_bytes (tensors that are alive), autocast (mixed precision without memory), memory (one training
step), compare (two to four networks) and torchinfo_summary (whose counts differ from ours, and why). May import all of
anatomy/ but words/ and saved_weights/; loads torch.
"""
