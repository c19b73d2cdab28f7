"""Options that several commands share."""

from typing import Annotated, Literal

import typer

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


def checked_segment(seconds: float) -> float:
    """Return the length of a segment in seconds; BadParameter where it is out of range."""
    from featurizer.columns import SAMPLE_RATE

    least, most = 0.1, 600.0
    if not least <= seconds <= most:
        raise typer.BadParameter(
            f"a segment of {seconds:g} s ({seconds * SAMPLE_RATE:g} samples): "
            f"say {least:g} to {most:g} seconds",
            param_hint="--segment-seconds",
        )
    return seconds
