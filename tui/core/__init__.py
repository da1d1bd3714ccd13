"""What every screen of the app uses: keys, messages, themes, options, the terminal, and the interface of the app.

May import the folders below it (launch, runs, networks, charts, worker) for the types in messages. Must not load
torch.
"""
