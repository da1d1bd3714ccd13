"""Changes of forms that were left, kept until the app ends. No Textual.

A form is known by its networks and by the run that it repeats. What a start has used is kept no longer: the run holds it.
"""

from __future__ import annotations

from pathlib import Path

from .form_values import LaunchForm, LaunchRequest


class KeptForms:
    """The changes of each form that has some."""

    def __init__(self) -> None:
        self._changes: dict[tuple[tuple[str, ...], Path | None], dict[str, str]] = {}

    def form(self, request: LaunchRequest) -> LaunchForm:
        """Return the form of a request, with the changes that were kept."""
        return LaunchForm(request, self._changes.get((request.networks, request.config), {}))

    def keep(self, form: LaunchForm) -> None:
        """Keep the changes of a form in the place of earlier ones."""
        self._changes[form.request.networks, form.request.config] = dict(form.changed)

    def forget(self, request: LaunchRequest) -> None:
        """Keep nothing of a form any more."""
        self._changes.pop((request.networks, request.config), None)
