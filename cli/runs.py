"""`cnn-explorer runs …`: lists, shows, stops, resumes, removes and exports runs, without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError, nearest
from .help import GroupedGroup
from .narrate import log
from .output import AsJson, Force, Output, is_stdout, print_json, written_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trainer.runs.requests import Stop

runs_app = typer.Typer(cls=GroupedGroup, help="List runs, show them, or stop, resume and export one.")

RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its id, a unique beginning or ending of it, its tag, or 'last'.")
]
Folder = Annotated[Path | None, typer.Option("--runs", metavar="FOLDER", help="Folder of the runs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the run has ended.")]


@runs_app.callback(invoke_without_command=True)
def list_all(
    context: typer.Context,
    as_json: AsJson = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only this many, the newest.")] = None,
    output: Output = None,
    force: Force = False,
    runs: Folder = None,
) -> None:
    """List runs, newest first; with a command: show, plot, watch, stop, skip, resume, remove, restore or export one."""
    context.obj = runs
    if context.invoked_subcommand is not None:
        given = {"--json": as_json, "--limit": limit is not None, "--output": output is not None, "--force": force}
        for option in [option for option, is_given in given.items() if is_given]:
            raise UsageError(option, None, f"is for the list here; write it behind {context.invoked_subcommand!r}")
        return
    from ..trainer.runs.reader import list_runs, summary
    from . import runs_text

    folder = _folder(context, None)
    found = list_runs(folder)[:limit]
    with written_to(output, force=force):
        if as_json:
            print_json({"schema": 1, "folder": str(folder), "runs": [summary(run) for run in found]})
        elif found:
            print(runs_text.table(found, runs_text.Screen.of(sys.stdout)))
        else:
            log(f"no runs in {folder} yet; 'cnn-explorer train lenet5 --dataset digits' makes one")


@runs_app.command()
def show(
    context: typer.Context,
    run: RunId,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    runs: Folder = None,
) -> None:
    """Show the configuration, figures and last log lines of a run."""
    from ..trainer.analysis.curve_findings import diagnose_curve
    from ..trainer.analysis.curve_summary import read_curve_summary
    from ..trainer.runs.reader import last_log_lines, newest_metrics, read_run, summary
    from . import runs_text

    found = read_run(_find(context, run, runs))
    metrics, log_lines = newest_metrics(found.path), last_log_lines(found.path, 10)
    findings = diagnose_curve(read_curve_summary(found))
    with written_to(output, force=force):
        if as_json:
            newest = {"train": metrics.train, "validation": metrics.validation, "test": metrics.test}
            contents = {"run": summary(found), "config": found.config, "status": found.status}
            reading = [{"rule": finding.rule, "text": finding.text, "page": finding.page} for finding in findings]
            rest = {"newest": newest, "reading": reading, "events": metrics.events, "log": log_lines}
            print_json({"schema": 1} | contents | rest)
        else:
            print(runs_text.details(found, metrics, log_lines, runs_text.Screen.of(sys.stdout), findings))


@runs_app.command()
def plot(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Runs, drawn over one another.")],
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="loss, accuracy, lr, grad_norm or images_per_s.")
    ] = "loss",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNSxROWS", help="Size of the chart (default: that of the terminal; 80x20 in a pipe)."
        ),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    runs: Folder = None,
) -> None:
    """Draw the curves of runs in the terminal, over epochs."""
    from . import runs_plot

    runs_plot.check_metric(metric)
    wanted = None if size is None else runs_plot.parse_size(size)
    paths = list(dict.fromkeys(_find(context, name, runs) for name in names))
    plotter = runs_plot.Plotter(paths, metric)
    plotter.read()
    plotter.check()
    with written_to(output, force=force):
        columns, rows = wanted or runs_plot.size_of(sys.stdout)
        if as_json:
            print_json({"schema": 1} | plotter.as_dict(columns))
        else:
            print(plotter.draw((columns, rows), runs_plot.style_of(sys.stdout)))


@runs_app.command()
def watch(
    context: typer.Context,
    run: RunId,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line: records, then the run.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw its curve: in place on a terminal, once at its end in a pipe.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What --plot draws (default: loss), named as for `runs plot`."),
    ] = None,
    runs: Folder = None,
) -> None:
    """Follow a run in plain text until it ends.

    Ctrl-C leaves the run alone. Exit code 1 if it fails.
    """
    from .runs_watch import follow, follow_records

    if plot and as_json:
        raise UsageError("--plot", None, "draws a chart, and --json prints records; give one of them")
    if metric is not None and not plot:
        raise UsageError("--metric", metric, "says what --plot draws; give both")
    if metric is not None:
        from . import runs_plot

        runs_plot.check_metric(metric)
    path = _find(context, run, runs)
    try:
        if plot:
            from . import runs_plot

            good = runs_plot.follow(path, sys.stdout, metric or "loss")
        else:
            good = (follow_records if as_json else follow)(path, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        log(f"left {path.name}; it goes on")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if good else 1)


@runs_app.command()
def stop(
    context: typer.Context,
    run: RunId,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="End the training here and evaluate the best weights on the test split.")
    ] = False,
    wait: Wait = False,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Ask a run to write a checkpoint and end.

    'runs resume' goes on from there.
    """
    from ..trainer.runs import requests

    path = _find(context, run, runs)
    if keep_best:
        _ask(
            requests.request_finish, path, wait, "was asked to end its training and evaluate its best weights", as_json
        )
    else:
        _ask(requests.request_stop, path, wait, "was asked to stop", as_json)


@runs_app.command()
def skip(context: typer.Context, run: RunId, wait: Wait = False, as_json: AsJson = False, runs: Folder = None) -> None:
    """Skip a run of a queue, waiting or in training.

    A waiting run is taken out; the one that is being trained ends, and the queue goes on with the next.
    """
    from ..trainer.runs import requests

    _ask(requests.skip, _find(context, run, runs), wait, "was asked to leave its queue", as_json)


def _ask(request: Callable[[Path, float], Stop], path: Path, wait: bool, asked: str, as_json: bool) -> None:
    try:
        answer = request(path, float("inf") if wait else 0.0)
    except KeyboardInterrupt:
        log(f"{path.name} {asked}; no longer waiting for it")
        raise typer.Exit(130) from None
    log(f"{path.name} has ended" if answer.ended else f"{path.name} {asked}")
    if as_json:
        _print_run(path, ended=answer.ended)


def _print_run(path: Path, **more: object) -> None:
    """Print a run as JSON: the keys of `runs --json` and ``more``."""
    from ..trainer.runs.reader import read_run, summary

    print_json({"schema": 1} | summary(read_run(path)) | more)


@runs_app.command()
def resume(
    context: typer.Context,
    run: RunId,
    detach: Annotated[bool, typer.Option("--detach", help="Train in the background; return at once.")] = False,
    devices: Annotated[
        str | None, typer.Option(metavar="N|LIST|all", help="Devices other than before, each with a process.")
    ] = None,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Go on with a run from its last checkpoint.

    It may have been stopped, have failed or have crashed.
    """
    from ..trainer.devices.process_group import ranked
    from ..trainer.launch import logout, spawn
    from . import train_devices

    path = _find(context, run, runs)
    if ranked():
        code, shown = train_devices.resume_under_torchrun(path)
        if shown is not None:
            _print_result(shown, as_json)
        raise typer.Exit(code)
    code = spawn.resume(path, detach=detach, devices=train_devices.assign_devices(devices, None, 1).devices)
    if detach:
        log(f"{path.name} goes on in the background; 'cnn-explorer runs watch {path.name}' follows it")
        if line := logout.warning():
            log(f"warning: {line}")
    if detach and not as_json:
        print(path.name)
    else:
        _print_result(path, as_json)
    raise typer.Exit(code)


def _print_result(path: Path, as_json: bool) -> None:
    """Print how a run stands, in a line or as JSON."""
    from ..trainer.runs.reader import read_run
    from . import runs_text

    if as_json:
        _print_run(path)
    else:
        print(runs_text.result(read_run(path)))


@runs_app.command("rm")
def remove(
    context: typer.Context,
    run: RunId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    for_good: Annotated[bool, typer.Option("--for-good", help="Delete it at once, without the bin.")] = False,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Remove a run with its checkpoints.

    It stays in the bin for seven days, from which 'runs restore' brings it back. One that is running is never removed.
    """
    from . import runs_bin

    runs_bin.remove(_find(context, run, runs), yes=yes, for_good=for_good, as_json=as_json)


runs_app.command("delete", hidden=True)(remove)  # the word that the app has for it


@runs_app.command()
def restore(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run in the bin: its id, a unique beginning or ending of it, or 'last' deleted."
        ),
    ],
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Bring a removed run back from the bin, under the same id."""
    from ..trainer.runs import deleted_runs

    path = deleted_runs.restore(_folder(context, runs), run)
    log(f"{path.name} is back: {path}")
    if as_json:
        _print_run(path)


@runs_app.command("bin")
def list_bin(
    context: typer.Context,
    empty: Annotated[bool, typer.Option("--empty", help="Delete all that is in the bin, for good.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    runs: Folder = None,
) -> None:
    """List the removed runs that 'runs restore' can bring back.

    They stay for seven days. What is older is deleted when the next run is removed or a training starts.
    """
    from . import runs_bin

    folder = _folder(context, runs)
    if yes and not empty:
        raise UsageError("--yes", None, "answers the question of --empty, which is not given")
    with written_to(output, force=force):
        if empty:
            runs_bin.empty(folder, yes=yes)
        runs_bin.show(folder, as_json=as_json)


@runs_app.command()
def export(
    context: typer.Context,
    run: RunId,
    file_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="csv, tensorboard or safetensors.")
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File or, for TensorBoard, folder (default: stdout, ID.safetensors, tensorboard/ID).",
        ),
    ] = None,
    which: Annotated[
        str, typer.Option("--checkpoint", metavar="NAME", help="best or last: whose weights safetensors get.")
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace what exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about what was written.")] = False,
    runs: Folder = None,
) -> None:
    """Export the records of a run, or its weights.

    Records are written as CSV or TensorBoard events, weights as safetensors.
    """
    from ..trainer.common import output_file
    from ..trainer.export import records

    for option, given, choices in (
        ("--format", file_format, records.FORMATS),
        ("--checkpoint", which, ("best", "last")),
    ):
        if given not in choices:
            raise UsageError(option, given, f"is unknown; {nearest(given, choices)}")
    path = _find(context, run, runs)
    target = output or records.default_target(path, file_format)
    if target is not None and is_stdout(target):
        if file_format != "csv":
            raise UsageError("--output", "-", f"is stdout, which takes csv alone; name a place for {file_format}")
        target = None
    if target is None and as_json:
        raise UsageError("--json", None, "needs --output: without it the CSV itself goes to stdout")
    if target is None:
        records.write_csv(path, sys.stdout)
        return
    checked = records.check_target(target, path, force=force, folder=file_format == "tensorboard")
    written: dict[str, object] = {}
    if file_format == "csv":
        written["records"] = records.save_csv(path, checked)
        log(f"{target}: {written['records']} records")
    elif file_format == "tensorboard":
        from ..trainer.export.tensorboard import write_events

        written["figures"] = write_events(path, checked)
        log(f"{target}: {written['figures']} figures; 'tensorboard --logdir {target.parent}' shows them")
    else:
        from ..trainer.weights.weight_files import export_weights

        written["checkpoint"] = which
        output_file.save(checked, export_weights(path, which))
        log(f"{target}: the {which} weights")
    if as_json:
        print_json({"schema": 1, "id": path.name, "format": file_format, "output": str(checked)} | written)


@runs_app.command()
def tag(
    context: typer.Context,
    run: RunId,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="Words to find the run by.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Give a run tags, or take them away."""
    from ..trainer.runs import annotations, ids

    path = _find(context, run, runs)
    if remove:
        kept = annotations.remove_tags(path, tags)
    else:
        ids.check_new_tags(path, tags)
        kept = annotations.add_tags(path, tags)
    log(f"{path.name}: {', '.join(kept.tags) or 'no tags'}")
    if as_json:
        _print_run(path)


@runs_app.command()
def note(
    context: typer.Context,
    run: RunId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Replaces the remark; '' removes it.")],
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Write a remark on a run."""
    from ..trainer.runs import annotations

    path = _find(context, run, runs)
    kept = annotations.set_remark(path, text)
    log(f"{path.name}: {kept.remark or 'no remark'}")
    if as_json:
        _print_run(path)


@runs_app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
)
def clone(
    context: typer.Context,
    run: RunId,
    runs: Folder = None,
) -> None:
    """Start a run with the configuration of an earlier one and changes.

    What follows the RUN are options of 'cnn-explorer train', which change its configuration: 'runs clone RUN --lr 0.01
    --detach'. They include --json and -o; 'cnn-explorer train --help' names them all. --runs stands before the RUN.
    """
    from ..trainer.launch.clone import words
    from .train_command import TrainCommand

    folder = _folder(context, runs)
    path = _find(context, run, runs)
    command = TrainCommand("train")
    code = command.main(
        words(path, folder, context.args)[1:], prog_name="cnn-explorer runs clone RUN", standalone_mode=False
    )
    raise typer.Exit(code if isinstance(code, int) else 0)


def _folder(context: typer.Context, given: Path | None) -> Path:
    from ..settings import runs_folder

    return runs_folder(given or context.obj)


def _find(context: typer.Context, run: str, given: Path | None) -> Path:
    from ..trainer.runs.ids import resolve

    return resolve(_folder(context, given), run)
