"""Options shared by several commands."""

from typing import Annotated, Literal

import typer

from featurizer.feature_set import DEFAULT_SETS
from jobs import defaults

STORE_VARIABLE = "SONGMILL_STORE"

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE…",
        help="A folder (walked), a file, a glob in quotes, or a list file (.txt, .lst, .m3u: one "
        "path per line). Also any address that fsspec reads.",
    ),
]

Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="STORE",
        envvar=STORE_VARIABLE,
        help="The store: a folder of Parquet tables, or s3://BUCKET/PREFIX.",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="DASK_SCHEDULER_ADDRESS",
        help="A running Dask scheduler (tcp://host:8786, tls://…, or its scheduler file). "
        "By default a local cluster is started for the job.",
    ),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Worker processes of the local cluster; by default one per core."
    ),
]

SPLIT_HELP = (
    "by-track: tracks stay whole, stratified by label. by-group:COLUMN: tracks with the same value "
    "in a column of the labels, such as by-group:artist, stay together. FILE.csv: a file with the "
    "columns track_id and set (train, valid, test)"
)

Splits = Annotated[
    list[str],
    typer.Option(
        "--split",
        metavar="SPLIT",
        help=f"Split into training and test rows. {SPLIT_HELP} or test_fold. random: the "
        "tutorial's split of rows, which is leaky. May be given several times.",
    ),
]

Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="SPLIT",
        help=f"Split into training, validation and test tracks. {SPLIT_HELP}.",
    ),
]

Level = Annotated[
    Literal["segment", "track"] | None,
    typer.Option(help="Rows to learn from; by default segments, if the features have any."),
]

LearnFeatures = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="The feature set to learn from; by default rich, if nearly all tracks of STORE have "
        "it, else gtzan. rich describes tracks only: --level segment is for gtzan.",
    ),
]

Model = Annotated[
    Literal["auto", "lda", "xgboost"],
    typer.Option(
        help="lda: linear discriminant analysis. xgboost: boosted trees. auto: both are fitted, "
        "and the one that predicts the validation part better is kept."
    ),
]

Labels = Annotated[
    str,
    typer.Option(
        metavar="parent|folder:N|tag:NAME|none|FILE.csv",
        help="The tracks' labels: the name of their folder, or of the N-th folder below the "
        "source; a tag (genre, artist, album, album_artist or title); none; or a CSV with the "
        "columns track_id and label (and further ones, such as artist).",
    ),
]

Features = Annotated[
    str,
    typer.Option(
        metavar="SETS",
        help="The feature sets to extract, with commas between them. gtzan: the 57 features of the "
        "published GTZAN tables, of tracks and segments. rich: 458 features of tracks of 10 s or "
        "more.",
    ),
]

DEFAULT_FEATURES = ",".join(DEFAULT_SETS)

SegmentSeconds = Annotated[float, typer.Option(metavar="SECONDS", help="Length of a segment.")]

RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Retry files that failed before.")
]

MaxFailed = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Exit with code 3 if a larger share of the files that this run tries fails. Up to "
        f"{defaults.FEW_FILES} may fail if they are no larger share of all files.",
    ),
]

MaxGone = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Exit with code 3 and change nothing if a larger share of a source's known files is "
        f"gone. Up to {defaults.FEW_FILES} may go, unless SHARE is 0 or the source is empty now. "
        "1: any number may go.",
    ),
]

RetrainAbove = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Train only if more than this share of the labelled rows is new, gone, changed or "
        "relabelled since the last model was trained. 0: after any change.",
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="The new model replaces the champion (the model that predicts) unless its macro F1 "
        "by track is clearly lower. This much may be lost beyond the confidence interval.",
    ),
]

KeepModels = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Keep the N newest models besides the champion, and remove older ones.",
    ),
]

Neighbours = Annotated[
    int, typer.Option("-k", "--neighbours", min=1, metavar="K", help="Neighbours per row.")
]

Metric = Annotated[
    Literal["cosine", "rich", "learned"] | None,
    typer.Option(
        help="cosine: the cosine of the published features. rich: that of rich features, corrected "
        "for tracks that are near to nearly all others. learned: rich, and one half by what tells "
        "the labels apart. By default rich, if there are rich features; else cosine."
    ),
]

Schema = Annotated[
    str | None, typer.Option(metavar="NAME", help="Schema of the database to load into.")
]

Models = Annotated[
    str,
    typer.Option(
        metavar="MODELS",
        help="The models to compare, with commas between them: tutorial (its ten models), one of "
        "these, or LDA, tuned-SVM and tuned-XGB, which suit the rich features. An unknown name "
        "lists them all.",
    ),
]

StageName = Literal["extract", "train", "compare", "similarity", "predict", "export", "report"]

LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(help="Log on stderr: text for people, or one JSON object per line."),
]

Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Show no progress, only warnings and errors.")
]

Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Write every step and count as a line of its own.")
]

Json = Annotated[bool, typer.Option("--json", help="Print only one JSON object on stdout.")]


def check_segment_seconds(seconds: float) -> float:
    """Return the length of a segment in seconds; BadParameter if it is out of range."""
    from jobs.errors import UsageError
    from jobs.inputs import recordings

    try:
        return recordings.check_segment_seconds(seconds)
    except UsageError as error:
        raise typer.BadParameter(str(error), param_hint="--segment-seconds") from None
