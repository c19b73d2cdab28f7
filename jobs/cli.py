"""The command line: options in, exit codes out. What the commands do is in the other modules.

Heavy imports happen where they are used, so that ``songmill --help`` answers at once.
"""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jobs.errors import RunInterruptedError, SongmillError
from jobs.signals import interruption_heard, interruption_prevails, listening

app = typer.Typer(
    name="songmill",
    help="Turns a collection of recordings into tables of audio features, on a Dask cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many files failed.",
)

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="STORE",
        help="The store: a folder of Parquet tables, or s3://BUCKET/PREFIX.",
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="DASK_SCHEDULER_ADDRESS",
        help="A running Dask scheduler (tcp://host:8786, tls://…, or its scheduler file). "
        "By default a cluster of this machine is started for the job.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Processes of this machine's own cluster; by default one a core."
    ),
]
SPLIT_HELP = (
    "by-track: tracks stay whole, every label has its share. by-group:COLUMN: tracks with the "
    "same value in a column of the labels, such as by-group:artist, stay together. FILE.csv: with "
    "the columns track_id and set (train, valid, test)"
)
SplitsOption = Annotated[
    list[str],
    typer.Option(
        "--split",
        metavar="SPLIT",
        help=f"What is learnt from and what is tested with. {SPLIT_HELP} or test_fold. random: the "
        "tutorial's, of rows; leaky. May be given several times.",
    ),
]
SplitOption = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="SPLIT",
        help=f"What is learnt from, stopped by and tested with. {SPLIT_HELP}.",
    ),
]
LevelOption = Annotated[
    Literal["segment", "track"] | None,
    typer.Option(
        help="Rows to learn from; by default segments, where there are any.",
    ),
]
LabelsOption = Annotated[
    str,
    typer.Option(
        metavar="parent|none|FILE.csv",
        help="The tracks' labels: their folder's name, none, or a CSV with the columns "
        "track_id and label (and further ones, such as artist).",
    ),
]
SegmentOption = Annotated[float, typer.Option(metavar="SECONDS", help="Length of a segment.")]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Try the files again that failed before.")
]
MaxFailedOption = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, metavar="SHARE", help="End with code 3 if more of the files fail."
    ),
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="The new model predicts from now on unless its macro F1 by track is below that "
        "of the champion (the one that predicts) by more than this.",
    ),
]
NeighboursOption = Annotated[
    int, typer.Option("-k", "--neighbours", min=1, metavar="K", help="Neighbours of each.")
]
SchemaOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The database's schema to load into.")
]
Stages = Literal["extract", "train", "similarity", "predict", "export", "report"]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")
]


def _version(asked: bool) -> None:
    if asked:
        from jobs.batch import songmill_version

        typer.echo(f"songmill {songmill_version()}")
        raise typer.Exit


def _checked_segment(seconds: float) -> float:
    from featurizer.columns import SAMPLE_RATE

    least, most = 0.1, 600.0
    if not least <= seconds <= most:
        raise typer.BadParameter(
            f"a segment of {seconds:g} s ({seconds * SAMPLE_RATE:g} samples): "
            f"say {least:g} to {most:g} seconds",
            param_hint="--segment-seconds",
        )
    return seconds


def _configure(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options of a TOML file for those that the command line does not give."""
    if path is not None:
        from jobs.config import read_config

        names = {
            (parameter.name or "") if parameter.param_type_name == "argument" else option: parameter
            for parameter in context.command.params
            for option in [max(parameter.opts, key=len).removeprefix("--")]
            if option not in ("config", "help")
        }
        given = read_config(path, list(names))
        context.default_map = {str(names[option].name): value for option, value in given.items()}
    return path


@app.callback()
def songmill(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Turn a collection of recordings into tables of audio features, on a Dask cluster."""


@app.command()
def extract(
    *,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="A folder (walked), a file, a glob in quotes, or a list file (.txt, .lst, .m3u: "
            "one path a line). Also any address that fsspec reads.",
        ),
    ],
    store: StoreOption,
    labels: LabelsOption = "parent",
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    segment_seconds: SegmentOption = 3.0,
    force: Annotated[
        bool, typer.Option("--force", help="Extract every file anew, changed or not.")
    ] = False,
    retry_failed: RetryOption = False,
    max_failed: MaxFailedOption = 0.1,
    as_json: JsonOption = False,
) -> None:
    """Extract 57 features of every recording, and of every 3-second segment, into STORE.

    Only new and changed files are worked on; files that are gone leave the tables. Run the same
    command again after anything that stopped it: what is finished is kept.
    """
    from jobs.extract import Request
    from jobs.extract import extract as run
    from jobs.progress import Progress

    request = Request(
        sources=sources,
        store=store,
        labels=labels,
        scheduler=scheduler,
        workers=workers,
        segment_seconds=_checked_segment(segment_seconds),
        force=force,
        retry_failed=retry_failed,
        max_failed=max_failed,
    )
    with Progress().shown() as progress:
        outcome = run(request, progress)
    if as_json:
        _print_json({**asdict(outcome), "failed": outcome.failed, "store": store})
    else:
        from jobs.terminal import print_outcome

        print_outcome(outcome, store)
    if outcome.outcome == "too-many-failed":
        _complain(outcome.message or "")
        raise typer.Exit(3)


@app.command()
def import_features(
    *,
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="CSV…",
            help="Tables with the columns filename, length, the 57 features and label, such as "
            "GTZAN's features_30_sec.csv (tracks) and features_3_sec.csv (segments).",
        ),
    ],
    store: StoreOption,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="A CSV with the column track_id and further ones, such as artist; a column label "
            "takes the place of the tables' labels.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import published tables of features into STORE, without any recording.

    The tracks or the segments, or both, whichever the tables hold, take the place of those that
    an earlier import left.
    """
    from jobs.import_features import Request
    from jobs.import_features import import_features as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(Request(tables, store, labels), progress)
    if as_json:
        _print_json({**asdict(outcome), "store": store})
    else:
        from jobs.terminal import print_import

        print_import(outcome, store)


@app.command()
def compare(
    *,
    store: StoreOption,
    split: SplitsOption = ["by-track"],  # noqa: B006  # Typer's way to say it
    folds: Annotated[
        int, typer.Option(min=2, metavar="K", help="Folds of a split by track or by group.")
    ] = 5,
    level: LevelOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit ten models side by side and show how good each is, into STORE/comparison.

    Say --split twice to see two splits side by side: random is the tutorial's, which flatters,
    because segments of one track fall on both sides.
    """
    from jobs.compare import Request
    from jobs.compare import as_json as said
    from jobs.compare import compare as run
    from jobs.progress import Progress

    request = Request(
        store=store, splits=split, folds=folds, level=level, scheduler=scheduler, workers=workers
    )
    with Progress().shown() as progress:
        outcome = run(request, progress)
    if as_json:
        _print_json(said(outcome))
    else:
        from jobs.terminal import print_comparison

        print_comparison(outcome)
    if outcome.failed == len(outcome.rows):
        _complain("no model could be fitted")
        raise typer.Exit(1)


@app.command()
def train(
    *,
    store: StoreOption,
    split: SplitOption = "by-track",
    level: LevelOption = None,
    tolerance: ToleranceOption = 0.01,
    promote: Annotated[
        bool | None,
        typer.Option(
            "--promote/--no-promote",
            help="Have the new model predict, or not, whatever its score.",
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train boosted trees on the cluster, judge them, and keep them in STORE/models.

    What is judged has learnt from the training part only; what predicts has learnt from all rows.
    """
    from jobs.progress import Progress
    from jobs.train import Request
    from jobs.train import as_json as said
    from jobs.train import train as run

    request = Request(
        store=store,
        split=split,
        level=level,
        tolerance=tolerance,
        promote=promote,
        scheduler=scheduler,
        workers=workers,
    )
    with Progress().shown() as progress:
        outcome = run(request, progress)
    if as_json:
        _print_json(said(outcome))
    else:
        from jobs.terminal import print_training

        print_training(outcome)


@app.command()
def predict(
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE…",
            help="Recordings: files, folders, globs in quotes or list files, as for extract.",
        ),
    ] = None,
    store: StoreOption,
    every: Annotated[
        bool,
        typer.Option("--all", help="Predict every track of STORE instead, into STORE/predictions."),
    ] = False,
    segments: Annotated[
        bool,
        typer.Option("--segments", help="Also say what each segment is: when, in a file, which."),
    ] = False,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict the label of recordings by the champion, the model of STORE that predicts.

    FILEs are read and analysed by this process; --all works on the cluster.
    """
    from jobs.predict import Request, predict_all, predict_files
    from jobs.predict import as_json as said
    from jobs.progress import Progress

    if bool(files) == every:
        raise typer.BadParameter("say either FILEs, or --all for every track of the store")
    failed = count = 0
    with Progress().shown() as progress:
        if files:
            of_files = predict_files(files, store, progress)
            failed, count = of_files.failed, len(of_files.files)
        else:
            request = Request(store, segments=segments, scheduler=scheduler, workers=workers)
            of_store = predict_all(request, progress)
    if as_json:
        _print_json(said(of_files if files else of_store, segments=segments))
    else:
        from jobs.terminal import print_predicted_files, print_predicted_store

        if files:
            print_predicted_files(of_files, segments=segments)
        else:
            print_predicted_store(of_store, store)
    if failed:
        _complain(f"{failed} of {count} files gave no prediction")
        raise typer.Exit(1)


@app.command()
def models(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the models of STORE, the newest first, and which of them predicts."""
    from dataclasses import asdict

    from jobs.registry import list_models

    found, wrong = list_models(store)
    if as_json:
        _print_json({"models": [asdict(one) for one in found], "wrong": wrong})
    else:
        from jobs.terminal import print_models

        print_models(found, wrong)


@app.command()
def promote(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="One that `songmill models` lists, or its end.")
    ],
    store: StoreOption,
    as_json: JsonOption = False,
) -> None:
    """Have another model of STORE predict: an older one, to roll back."""
    from jobs.registry import promote as run

    found = run(store, version)
    if as_json:
        _print_json(found)
    else:
        before = found["before"]
        if before == found["version"]:
            typer.echo(f"{before} predicts, as it did.")
        else:
            instead = f", in place of {before}" if before else ""
            typer.echo(f"{found['version']} predicts from now on{instead}.")


@app.command()
def similarity(
    *,
    store: StoreOption,
    k: NeighboursOption = 20,
    level: Annotated[
        Literal["track", "segment"], typer.Option(help="What is compared with one another.")
    ] = "track",
    duplicate_from: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=1.0,
            metavar="COSINE",
            help="Two with this cosine or more are the same recording.",
        ),
    ] = 0.9999,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Also write the whole matrix of cosines, of up to 20,000 tracks."
        ),
    ] = False,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the nearest neighbours of every track, exactly, into STORE/similarity.

    Features are z-scored over the store and compared by cosine. Pairs that are the same recording,
    under one label or two, also go to STORE/duplicates.
    """
    from jobs.progress import Progress
    from jobs.similarity import Request, find_similar

    request = Request(
        store=store,
        k=k,
        level=level,
        duplicate_from=duplicate_from,
        full=full,
        scheduler=scheduler,
        workers=workers,
    )
    with Progress().shown() as progress:
        outcome = find_similar(request, progress)
    if as_json:
        _print_json(asdict(outcome))
    else:
        from jobs.terminal import print_similarity

        print_similarity(outcome, store)


@app.command()
def similar(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="TRACK|FILE",
            help="A track of STORE, by its name or the end of it (pop.00023); else the path of a "
            "recording, which need not be in STORE.",
        ),
    ],
    *,
    store: StoreOption,
    k: Annotated[
        int, typer.Option("-k", "--neighbours", min=1, metavar="K", help="How many to show.")
    ] = 5,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Leave out what is the same recording.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the tracks of STORE that are most like one of them, or like a recording never seen."""
    from jobs.progress import Progress
    from jobs.similar import similar as run

    with Progress().shown() as progress:
        outcome = run(recording, store, progress, k=k, leave_duplicates=no_duplicates)
    if as_json:
        _print_json(asdict(outcome))
    else:
        from jobs.terminal import print_similar

        print_similar(outcome)


@app.command()
def run(
    *,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="What to extract: as for `songmill extract`."),
    ],
    store: StoreOption,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=_configure,
            is_eager=True,
            help="A TOML file with any of these options, such as sources, store or max-failed; "
            "what the command line says comes first.",
        ),
    ] = None,
    labels: LabelsOption = "parent",
    segment_seconds: SegmentOption = 3.0,
    retry_failed: RetryOption = False,
    max_failed: MaxFailedOption = 0.1,
    split: SplitOption = "by-track",
    level: LevelOption = None,
    tolerance: ToleranceOption = 0.01,
    neighbours: NeighboursOption = 20,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=URL",
            help="Put a table where somebody else reads it: similarity, duplicates, predictions, "
            "features or files, and a URL as for `songmill export`. May be given several times.",
        ),
    ] = None,
    schema: SchemaOption = None,
    only: Annotated[
        Stages | None,
        typer.Option(help="Do this stage alone, whether or not anything has changed."),
    ] = None,
    first: Annotated[
        Stages | None,
        typer.Option("--from", help="Begin with this stage, whether or not anything has changed."),
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="Lines for people, or an object a line for machines, on stderr."),
    ] = "text",
    as_json: JsonOption = False,
) -> None:
    """Bring everything in STORE up to date: what a night's job does.

    Extract what is new or changed, train and judge a model and promote it unless it is worse, find
    what sounds alike, predict, export, report. A stage is skipped where nothing that it reads has
    changed. Run it again after anything that stopped it.
    """
    from jobs.progress import JsonLog, Progress
    from jobs.run import Request
    from jobs.run import run as work

    request = Request(
        sources=sources,
        store=store,
        labels=labels,
        segment_seconds=_checked_segment(segment_seconds),
        retry_failed=retry_failed,
        max_failed=max_failed,
        split=split,
        level=level,
        tolerance=tolerance,
        neighbours=neighbours,
        exports=export or [],
        schema=schema,
        scheduler=scheduler,
        workers=workers,
        only=only,
        first=first,
    )
    with (JsonLog() if log_format == "json" else Progress()).shown() as progress:
        outcome = work(request, progress)
        if outcome.message:
            progress.write("error", outcome.message)
    if as_json:
        _print_json(asdict(outcome))
    elif log_format == "text":
        from jobs.terminal import print_run

        print_run(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command()
def export(
    *,
    name: Annotated[
        Literal["similarity", "duplicates", "predictions", "features", "files"],
        typer.Argument(
            metavar="TABLE", help="Which: similarity, duplicates, predictions, features or files."
        ),
    ],
    store: StoreOption,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            envvar="SONGMILL_EXPORT_TO",
            help="postgresql://user@host/database (its password in PGPASSWORD or ~/.pgpass), "
            "sqlite:///FILE, duckdb:///FILE, or a FILE that ends in .csv, .csv.gz, .jsonl, "
            ".jsonl.gz, .parquet or .arrow.",
        ),
    ],
    level: Annotated[
        Literal["track", "segment"], typer.Option(help="Rows of which, where there are both.")
    ] = "track",
    schema: SchemaOption = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it shall be called there; by default as here."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put a table of STORE into a database or a file, complete or not at all.

    In a database it is loaded beside the table of the last export, indexed, and put in its place
    in one transaction.
    """
    from jobs.export import Request
    from jobs.export import export as run
    from jobs.progress import Progress

    request = Request(name=name, store=store, to=to, level=level, schema=schema, table=table)
    with Progress().shown() as progress:
        outcome = run(request, progress)
    if as_json:
        _print_json(asdict(outcome))
    else:
        from jobs.terminal import print_export

        print_export(outcome)


@app.command()
def inspect(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A recording; with --store also one of its tracks, by the end of its name.",
        ),
    ],
    *,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The folder for pictures and page; by default inspect-NAME, in this folder.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="STORE", help="A store whose model says what it sounds like."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the pictures of one recording, and list its facts and features, on one page."""
    from jobs.inspection import inspect as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(recording, store, out, progress)
    if as_json:
        _print_json(asdict(outcome))
    else:
        from jobs.terminal import print_inspection

        print_inspection(outcome)


@app.command()
def report(
    store: StoreOption,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="The folder that gets index.html; by default STORE/report."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what STORE holds and how its models fare as one page: pictures and tables."""
    from jobs.progress import Progress
    from jobs.report import report as run

    with Progress().shown() as progress:
        outcome = run(store, out, progress)
    if as_json:
        _print_json(asdict(outcome))
    else:
        from jobs.terminal import print_report

        print_report(outcome)


@app.command()
def status(
    store: StoreOption,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the files that failed, and why.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is in STORE: tracks, segments, hours, labels, failures, the last runs."""
    from jobs.status import read_status
    from jobs.terminal import print_failed, print_status

    found = read_status(store)
    if as_json:
        labels = [{"label": label, "tracks": count} for label, count in found.labels.items()]
        said = {**asdict(found), "labels": labels, "failed": len(found.failed_files)}
        if not failed:
            del said["failed_files"]
        _print_json(said)
    elif failed:
        print_failed(found)
    else:
        print_status(found)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the demo's files go.")
    ] = Path("songmill-demo"),
    workers: WorkersOption = None,
) -> None:
    """Synthesise a small collection of a few styles, extract it, learn from it: at a glance."""
    from jobs.demo import run_demo

    run_demo(folder, workers)


def _print_json(value: dict[str, Any]) -> None:
    """Print one object; a label that is missing is the key ``null``."""
    text = json.dumps(value, ensure_ascii=False, default=lambda moment: moment.isoformat())
    # Half of a surrogate pair, in the name of a file that is no UTF-8, has no bytes.
    typer.echo(re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))


def _complain(text: str) -> None:
    from jobs.progress import printable

    typer.echo(f"songmill: {printable(text)}", err=True)


def main() -> None:
    """Run the command line; what a user can cause ends in one line and an exit code."""
    with listening():
        try:
            with interruption_prevails():
                app(standalone_mode=True)
        except (SongmillError, RunInterruptedError) as error:
            interruption_heard()
            _complain(str(error))
            sys.exit(error.exit_code)
        except OSError as error:
            # Full disks, lost mounts, missing rights: the system's own words name the file.
            _complain(str(error))
            sys.exit(1)


if __name__ == "__main__":
    main()
