"""The architectures, the catalogue that lists them, and their anatomy; imports nothing from the floors above."""
