"""The command `cnn-explorer`: parses the words and imports only what the chosen command needs.

stdout carries data, stderr narration. Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import settings
from ..errors import UsageError, WorkError
from . import messages, output
from .commands import CommandGroup

LONGEST_LINE = 1500
"""Characters of a complaint: whoever gave a text of a megabyte need not read it again."""

app = typer.Typer(
    name="cnn-explorer",
    cls=CommandGroup,
    help="Learn, take apart, train and compare image-classification networks. Without a command: the app.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cnn-explorer {settings.VERSION}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    theme: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Colours of the app: dark, light, ansi-dark, high-contrast, colour-blind …"),
    ] = None,
    color: Annotated[
        str | None, typer.Option(metavar="NAME", help="Colours of the terminal: auto, truecolor, 256, 16 or none.")
    ] = None,
    signs: Annotated[
        str | None, typer.Option(metavar="NAME", help="Signs of the app: unicode, shades (no braille) or ascii.")
    ] = None,
    ascii_only: Annotated[bool | None, typer.Option("--ascii/--unicode", help="Draw the app in ASCII.")] = None,
    mouse: Annotated[bool, typer.Option("--mouse/--no-mouse", help="Let the app use the mouse.")] = True,
    notify: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How the terminal announces the end of a run: none, bell or osc9."),
    ] = None,
    runs: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the runs that the app shows.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the data sets, for the app.")] = None,
) -> None:
    """Open the app when no command is given."""
    if context.invoked_subcommand is None:
        from ..tui.core import options

        chosen = options.resolve(theme, color, ascii_only, mouse, notify, signs)
        # Textual reads the number of colours when it is imported.
        options.set_colours(chosen)
        from ..tui.app import run

        raise typer.Exit(run(chosen, runs, data))
    for name, folder in (("--runs", runs), ("--data", data)):
        if folder is not None:
            raise UsageError(
                name, str(folder), f"is read by the app here; write it behind {context.invoked_subcommand!r}"
            )


def main() -> None:
    """Run the command line; an error that a person can act on is one line without a traceback."""
    try:
        _run_to_exit()
    except SystemExit as leaving:
        # A rank of several is not to be taken down in the usual way. Whoever is none has not even imported this module.
        if group := sys.modules.get("cnn_explorer.trainer.devices.process_group"):
            code = leaving.code
            group.leave_if_joined(code if isinstance(code, int) else int(code is not None))
        raise


def _run_to_exit() -> None:
    output.tracebacks_wanted = False
    sys.unraisablehook = _complain_of_ignored
    try:
        _configure_streams()
        sys.exit(_run())
    except UsageError as error:
        _complain(messages.with_its_flag(error, sys.argv[1:]))
        sys.exit(2)
    except WorkError as error:
        _complain(error)
        sys.exit(1)
    except BrokenPipeError:
        # `cnn-explorer list | head` closes the pipe early: that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the flush at the end does not fail as well
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A file that the system refuses at a call where nobody expects it: a bad disk, a server that is away, no room.
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the flush at the end does not fail as well
        _complain(messages.of_system(error))
        sys.exit(1)


def _complain_of_ignored(ended: sys.UnraisableHookArgs) -> None:
    """Tell an error that Python ignores in one line where it is of the person's code: in a ``__del__``, say."""
    where = ""
    if ended.exc_value is not None:
        try:
            from ..models.catalogue import user_code

            where = user_code.place(ended.exc_value)
            words = user_code.describe(ended.exc_value)
        except Exception:  # nothing can be imported any more while Python ends
            where = ""
    if not where:
        sys.__unraisablehook__(ended)
    elif sys.stderr is not None:
        sys.stderr.write(f"ignored: {words}\n")


def _complain(error: Exception) -> None:
    from ..trainer.common.text_safe import clean

    if output.tracebacks_wanted:
        import traceback

        traceback.print_exception(error.__cause__ or error, file=sys.stderr)
    line = clean(str(error))
    print(f"cnn-explorer: {line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + '…'}", file=sys.stderr)


def _configure_streams() -> None:
    """Replace closed streams by the null device: else a file of a run would get the number, and what libraries print.

    What a Latin-1 terminal cannot show, a chart or a class name in Chinese, is shown as question marks.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run() -> int:
    """Parse and run; the parser's own complaints become one line as well."""
    try:
        result = app(standalone_mode=False)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # the parser makes exit code 1 of it
            raise leaving.__context__ from None
        raise
    except Exception as error:
        if type(error).__name__ == "Abort":
            print("cnn-explorer: interrupted", file=sys.stderr)
            return 130
        told = messages.of_parser(error)
        if told is None:
            raise
        raise told from None
    return result if isinstance(result, int) else 0
