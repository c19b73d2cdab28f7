"""`compare`, `train`, `predict`, `models` and `promote`: the commands and their output."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs import defaults
from jobs.cli.options import (
    JsonOption,
    LevelOption,
    SchedulerOption,
    SplitOption,
    SplitsOption,
    StoreOption,
    ToleranceOption,
    WorkersOption,
)
from jobs.cli.tables import MAX_LABELS, cell, counted, new_table, print_error, print_json, show
from jobs.progress import printable

if TYPE_CHECKING:
    from jobs.learning.compare import Outcome as Comparison
    from jobs.learning.predict_files import FilesOutcome
    from jobs.learning.predict_store import StoreOutcome
    from jobs.learning.registry import Version
    from jobs.learning.train import Outcome as Training


def print_comparison(outcome: "Comparison") -> None:
    """Show the scores of each model, with the splits side by side."""
    splits = list(dict.fromkeys((row["split"], row["leaky"]) for row in outcome.rows))
    voted = any(row["vote_accuracy"] is not None for row in outcome.rows)
    table = new_table(f"{outcome.level}s")
    for split, leaky in splits:
        first = f"{printable(split)}{' (leaky)' if leaky else ''}"
        table.add_column(f"{first}\naccuracy", justify="right")
        table.add_column("\nmacro F1", justify="right")
        if voted:
            table.add_column("\ntracks by vote", justify="right")
        table.add_column("\nfit time", justify="right")
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in outcome.rows:
        by_model.setdefault(row["model"], []).append(row)
    for model, rows in by_model.items():
        cells: list[str] = []
        for row in rows:
            cells += [_mean(row, "accuracy"), _mean(row, "macro_f1")]
            cells += [_mean(row, "vote_accuracy")] if voted else []
            cells += ["" if row["seconds"] is None else f"{row['seconds']:.1f} s"]
        table.add_row(model, *cells)
    show(table)
    for row in outcome.rows:
        if row["accuracy"] is None:
            show(f"{row['model']}, {printable(row['split'])}: {printable(row['message'])}")
    if any(leaky for _, leaky in splits):
        show(
            "leaky: segments of one track are on both sides, so the scores do not hold for new "
            "tracks."
        )
    if any(row["folds"] > 1 for row in outcome.rows):
        show("With several folds: mean ± standard deviation over folds.")


MAX_FEATURES = 10


def print_training(outcome: "Training") -> None:
    """Show the scores of the new model, and whether it was promoted."""
    described = outcome.description
    parts = described.split["tracks"]
    show(
        f"Tested on {parts['test']:,} tracks ({printable(described.split['name'])}), trained on "
        f"{parts['train']:,}, early stopping on {parts['valid']:,}; {described.rounds} rounds."
    )
    table = new_table("", "accuracy", "macro F1", "by chance", "log loss, nats", "count")
    for level, scores in described.scores.items():
        names = ("accuracy", "macro_f1", "chance", "log_loss")
        shown = [f"{scores[name]:.3f}" for name in names]
        table.add_row(f"{level}s", *shown, f"{scores['count']:,}")
    show(table)
    table = new_table("label", "precision", "recall", "F1", "tracks")
    for label, of_class in list(outcome.per_class.items())[:MAX_LABELS]:
        shown = [f"{of_class[name]:.2f}" for name in ("precision", "recall", "f1")]
        table.add_row(cell(label), *shown, f"{of_class['support']:,}")
    show(table)
    if len(outcome.per_class) > MAX_LABELS:
        show(f"and {len(outcome.per_class) - MAX_LABELS} more labels")
    table = new_table("feature", "accuracy lost when shuffled", "±")
    for row in outcome.importance[:MAX_FEATURES]:
        table.add_row(row["feature"], f"{row['mean']:.3f}", f"{row['std']:.3f}")
    show(table)
    track = described.scores["track"]
    if track["macro_f1"] <= track["chance"]:
        show("Its macro F1 by track is no better than chance.")
    verdict = outcome.verdict
    status = "is the new champion" if verdict.promoted else "is kept, but not promoted"
    show(f"The model {described.version} {status}: {printable(verdict.reason)}.")


MAX_CLASSES = 3


def print_predicted_files(outcome: "FilesOutcome", *, segments: bool) -> None:
    """Show the predictions of recordings, and with ``segments`` those of their segments."""
    table = new_table("file", "predicted", "probability", "then")
    for one in outcome.files:
        if one.predicted is None:
            table.add_row(cell(one.file), "-", "", cell(f"{one.error}: {one.message}"))
            continue
        first, *others = list(one.probabilities.items())[:MAX_CLASSES]
        then = ", ".join(f"{name} {share:.2f}" for name, share in others)
        table.add_row(cell(one.file), cell(first[0]), f"{first[1]:.2f}", cell(then))
        for segment in one.segments if segments else []:
            where = f"  {segment.start_s:.1f} to {segment.end_s:.1f} s"
            share = segment.probabilities[segment.predicted]
            table.add_row(where, cell(segment.predicted), f"{share:.2f}", "")
    show(table)
    show(f"By the model {outcome.model}.")


def print_predicted_store(outcome: "StoreOutcome", store: str) -> None:
    """Show how many tracks of a store were predicted as each label."""
    table = new_table("predicted", "tracks")
    found = sorted(outcome.labels.items(), key=lambda item: (-item[1], item[0]))
    for label, count in found[:MAX_LABELS]:
        table.add_row(cell(label), f"{count:,}")
    if len(found) > MAX_LABELS:
        table.add_row(f"{len(found) - MAX_LABELS} more labels", "")
    show(table)
    segments = f" and {counted(outcome.segments, 'segment')}" if outcome.segments else ""
    show(
        f"Predicted {counted(outcome.tracks, 'track')}{segments} by the model {outcome.model}, "
        f"into {printable(store)}/predictions."
    )


def print_models(found: "list[Version]", wrong: list[str]) -> None:
    """List the models of a store, and the warnings about them."""
    if not found:
        show("No model yet: run `songmill train`.")
        return
    names = ("predicts", "created", "rows of", "split", "tracks", "accuracy", "macro F1")
    table = new_table("model", *names)
    for one in found:
        described = one.description
        predicts = "yes" if one.champion else ""
        if described is None:
            table.add_row(cell(one.version), predicts, "damaged")
            continue
        scores = described.scores["track"]
        table.add_row(
            cell(one.version),
            predicts,
            described.created_at[:16].replace("T", " "),
            f"{described.level}s",
            cell(described.split["name"]),
            f"{described.data['tracks']:,}",
            f"{scores['accuracy']:.3f}",
            f"{scores['macro_f1']:.3f}",
        )
    show(table)
    for text in wrong:
        show(f"warning: {printable(text)}")


def _mean(row: dict[str, Any], name: str) -> str:
    """Return a score with its spread over folds, if there are several."""
    if row[name] is None:
        return "-"
    spread = f" ± {row[f'{name}_std']:.3f}" if row["folds"] > 1 else ""
    return f"{row[name]:.3f}{spread}"


def compare(
    *,
    store: StoreOption,
    split: SplitsOption = [defaults.SPLIT],  # noqa: B006  # Typer requires a list
    folds: Annotated[
        int, typer.Option(min=2, metavar="K", help="Folds of a split by track or by group.")
    ] = defaults.FOLDS,
    level: LevelOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit ten models, and write and show their scores (STORE/comparison).

    Give --split twice to see two splits side by side. The tutorial's split, random, is too
    optimistic, because segments of one track are on both sides.
    """
    from jobs.learning.compare import as_json as to_json
    from jobs.learning.compare import compare as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(
            store=store,
            split=split,
            folds=folds,
            level=level,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(to_json(outcome))
    else:
        print_comparison(outcome)
    if outcome.failed == len(outcome.rows):
        print_error("no model could be fitted")
        raise typer.Exit(1)


def train(
    *,
    store: StoreOption,
    split: SplitOption = defaults.SPLIT,
    level: LevelOption = None,
    tolerance: ToleranceOption = defaults.TOLERANCE,
    promote: Annotated[
        bool | None,
        typer.Option(
            "--promote/--no-promote",
            help="Promote the new model, or not, whatever its score.",
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train boosted trees on the cluster, evaluate them, and keep them in STORE/models.

    The evaluated model is trained on the training part; the model that predicts, on all rows.
    """
    from jobs.learning.train import as_json as to_json
    from jobs.learning.train import train as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(
            store=store,
            split=split,
            level=level,
            tolerance=tolerance,
            promote=promote,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(to_json(outcome))
    else:
        print_training(outcome)


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
        typer.Option("--all", help="Predict all tracks of STORE, into STORE/predictions."),
    ] = False,
    segments: Annotated[
        bool,
        typer.Option("--segments", help="Also predict each segment."),
    ] = False,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict the labels of recordings with the champion of STORE.

    FILEs are analysed in this process; --all runs on the cluster.
    """
    from jobs.learning.predict_files import FilesOutcome, predict_files
    from jobs.learning.predict_files import as_json as to_json
    from jobs.learning.predict_store import predict_all
    from jobs.progress import Progress

    if bool(files) == every:
        raise typer.BadParameter("give either FILEs, or --all for every track of the store")
    found: FilesOutcome | StoreOutcome
    with Progress().shown() as progress:
        if files:
            found = predict_files(files, store=store, progress=progress)
        else:
            found = predict_all(
                store=store,
                segments=segments,
                scheduler=scheduler,
                workers=workers,
                progress=progress,
            )
    if isinstance(found, FilesOutcome):
        if as_json:
            print_json(to_json(found, segments=segments))
        else:
            print_predicted_files(found, segments=segments)
        if found.failed:
            print_error(f"{found.failed} of {len(found.files)} files gave no prediction")
            raise typer.Exit(1)
    elif as_json:
        print_json(asdict(found))
    else:
        print_predicted_store(found, store)


def models(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the models of STORE, newest first, and mark the champion, which predicts."""
    from jobs.learning.registry import list_models

    found, wrong = list_models(store)
    if as_json:
        print_json({"models": [asdict(one) for one in found], "wrong": wrong})
    else:
        print_models(found, wrong)


def promote(
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="A version listed by `songmill models`, or its end."
        ),
    ],
    store: StoreOption,
    as_json: JsonOption = False,
) -> None:
    """Make a model of STORE the champion. To roll back, promote an older one."""
    from jobs.learning.promote import promote as run

    found = run(version, store=store)
    if as_json:
        print_json(found)
    elif found["before"] == found["version"]:
        typer.echo(f"{found['version']} is already the champion.")
    else:
        replaced = f", in place of {found['before']}" if found["before"] else ""
        typer.echo(f"{found['version']} is the new champion{replaced}.")
