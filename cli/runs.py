"""`cnn-explorer runs …`: lists, shows, stops, resumes, removes and exports runs, without torch."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import UsageError
from .help import GroupedGroup
from .narrate import log
from .output import AsJson, Force, Output, print_json, written_to
from .runs_control import resume, skip, stop
from .runs_export import export
from .runs_options import Folder, RunId, find_run, folder_of, print_run

runs_app = typer.Typer(cls=GroupedGroup, help="List runs, show them, or stop, resume and export one.")


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

    folder = folder_of(context, None)
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

    found = read_run(find_run(context, run, runs))
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
    paths = list(dict.fromkeys(find_run(context, name, runs) for name in names))
    plotter = runs_plot.Plotter(paths, metric)
    plotter.read()
    plotter.check(as_data=as_json)
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
    path = find_run(context, run, runs)
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


runs_app.command()(stop)
runs_app.command()(skip)
runs_app.command()(resume)


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

    path = find_run(context, run, runs)
    if path.parent != (folder := folder_of(context, runs)):
        raise UsageError(
            "run", run, f"is not in the runs folder {folder}; --runs names the folder of a run to be removed"
        )
    runs_bin.remove(path, yes=yes, for_good=for_good, as_json=as_json)


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

    path = deleted_runs.restore(folder_of(context, runs), run)
    log(f"{path.name} is back: {path}")
    if as_json:
        print_run(path)


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

    folder = folder_of(context, runs)
    if yes and not empty:
        raise UsageError("--yes", None, "answers the question of --empty, which is not given")
    with written_to(output, force=force):
        if empty:
            runs_bin.empty(folder, yes=yes)
        runs_bin.show(folder, as_json=as_json)


runs_app.command()(export)


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

    path = find_run(context, run, runs)
    if remove:
        kept = annotations.remove_tags(path, tags)
    else:
        ids.check_new_tags(path, tags)
        kept = annotations.add_tags(path, tags)
    log(f"{path.name}: {', '.join(kept.tags) or 'no tags'}")
    if as_json:
        print_run(path)


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

    path = find_run(context, run, runs)
    kept = annotations.set_remark(path, text)
    log(f"{path.name}: {kept.remark or 'no remark'}")
    if as_json:
        print_run(path)


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

    folder = folder_of(context, runs)
    path = find_run(context, run, runs)
    command = TrainCommand("train")
    code = command.main(
        words(path, folder, context.args)[1:], prog_name="cnn-explorer runs clone RUN", standalone_mode=False
    )
    raise typer.Exit(code if isinstance(code, int) else 0)
