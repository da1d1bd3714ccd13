"""What the network screens show, without Textual: lists, layer trees, notes, source code, questions.

May import charts/. Must not load torch.
"""
