"""`compare`, `train`, `predict`, `suspects`, `models`, `promote`: commands and their output."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jobs import defaults
from jobs.cli import options
from jobs.cli.tables import MAX_LABELS, print_json, run_job, show, show_table
from jobs.errors import SongmillError, command_for
from jobs.progress import counted, printable

if TYPE_CHECKING:
    from jobs.learning.compare import Outcome as Comparison
    from jobs.learning.predict_files import FilesOutcome
    from jobs.learning.predict_store import StoreOutcome
    from jobs.learning.registry import Version
    from jobs.learning.train import Outcome as Training
    from training.model import Description

INTERVALS = "In parentheses: 95 % confidence intervals, by the bootstrap over tracks."


def print_comparison(outcome: "Comparison") -> None:
    """Show the scores of each model, with the splits side by side."""
    splits = list(dict.fromkeys((row["split"], row["leaky"]) for row in outcome.rows))
    voted = any(row["vote_accuracy"] is not None for row in outcome.rows)
    names = [f"{outcome.features} {outcome.level}s"]
    for split, leaky in splits:
        names += [f"{printable(split)}{' (leaky)' if leaky else ''}\naccuracy", "\nmacro F1"]
        names += ["\ntracks by vote"] if voted else []
        names += ["\nfit time"]
    by_model: dict[str, list[str]] = {}
    for row in outcome.rows:
        cells = by_model.setdefault(row["model"], [row["model"]])
        cells += [_score(row, "accuracy"), _score(row, "macro_f1")]
        cells += [_score(row, "vote_accuracy")] if voted else []
        cells += ["" if row["seconds"] is None else f"{row['seconds']:.1f} s"]
    show_table(names, by_model.values())
    for row in outcome.rows:
        if row["accuracy"] is None:
            show(f"{row['model']}, {printable(row['split'])}: {printable(row['message'])}")
    if any(leaky for _, leaky in splits):
        show(
            "leaky: segments of one track are on both sides, so the scores do not hold for new "
            "tracks."
        )
    show(INTERVALS)
    if any(row["folds"] > 1 for row in outcome.rows):
        show("With several folds: means over folds.")


MAX_FEATURES = 10
"""Most important features that are shown."""

LEAST_IMPORTANCE = 0.0005
"""Importance that is not rounded to 0.000."""


def model_in_words(described: "Description") -> str:
    """Return the kind of a model, with the number of rounds of boosted trees."""
    if described.kind == "lda":
        return "Linear discriminant analysis"
    return f"Boosted trees, {described.rounds} rounds"


def print_training(outcome: "Training") -> None:
    """Show the scores of the new model, and whether it was promoted."""
    described = outcome.description
    parts = described.split["tracks"]
    show(
        f"Tested on {parts['test']:,} tracks ({printable(described.split['name'])}), trained on "
        f"{parts['train']:,}, validated on {parts['valid']:,}."
    )
    show(f"{model_in_words(described)}, of {described.level}s in {described.feature_set}.")
    if described.candidates:
        found = [f"{kind} {score:.3f}" for kind, score in described.candidates.items()]
        show(f"Macro F1 by track on the validation part: {', '.join(found)}.")
    rows = []
    for level, scores in described.scores.items():
        shown = [_score(scores, name) for name in ("accuracy", "macro_f1")]
        shown += [f"{scores[name]:.3f}" for name in ("chance", "log_loss")]
        rows.append([f"{level}s", *shown, f"{scores['count']:,}"])
    names = ("accuracy", "macro F1", "99th percentile of\nrandom predictions", "log loss, nats")
    show_table(("", *names, "count"), rows)
    rows = []
    for label, of_class in list(outcome.per_class.items())[:MAX_LABELS]:
        shown = [f"{of_class[name]:.2f}" for name in ("precision", "recall", "f1")]
        shown[-1] += _interval(of_class["lower"], of_class["upper"], 2)
        few = " (few tracks)" if of_class["support"] < defaults.FEW_TRACKS else ""
        rows.append([label, *shown, f"{of_class['support']:,.0f}{few}"])
    show_table(("label", "precision", "recall", "F1", "tracks"), rows)
    show(INTERVALS)
    if len(outcome.per_class) > MAX_LABELS:
        show(f"and {len(outcome.per_class) - MAX_LABELS} more labels")
    first = [row for row in outcome.importance[:MAX_FEATURES] if row["mean"] >= LEAST_IMPORTANCE]
    rows = [[row["feature"], f"{row['mean']:.3f}", f"{row['std']:.3f}"] for row in first]
    if rows:
        show_table(("feature", "accuracy lost when shuffled", "±"), rows)
    else:
        show("No single feature matters: without any of them the accuracy is the same.")
    track = described.scores["track"]
    if track["macro_f1"] <= track["chance"]:
        show("Its macro F1 by track is no better than that of random predictions.")
    verdict = outcome.verdict
    status = "is the new champion" if verdict.promoted else "is kept, but not promoted"
    show(f"The model {described.version} {status}: {printable(verdict.reason)}.")


MAX_CLASSES = 3


def print_predicted_files(outcome: "FilesOutcome", *, segments: bool) -> None:
    """Show the predictions of recordings, and with ``segments`` those of their segments."""
    rows, learnt = [], 0
    for one in outcome.files:
        if one.predicted is None:
            rows.append((one.file, "-", "", f"{one.error}: {one.message}"))
            continue
        first, *others = list(one.probabilities.items())[:MAX_CLASSES]
        then = ", ".join(f"{name} {share:.2f}" for name, share in others)
        rows.append((one.file, first[0], f"{first[1]:.2f}", then))
        learnt += one.learnt
        for segment in one.segments if segments else []:
            where = f"  {segment.start_s:.1f} to {segment.end_s:.1f} s"
            share = segment.probabilities[segment.predicted]
            rows.append((where, segment.predicted, f"{share:.2f}", ""))
    show_table(("file", "predicted", "probability", "then"), rows)
    show(f"By the model {outcome.model}.")
    if learnt:
        show(f"It has learnt {counted(learnt, 'file')}, so the probabilities there are too high.")


def print_predicted_store(outcome: "StoreOutcome", store: str) -> None:
    """Show how many tracks of a store were predicted as each label."""
    found = sorted(outcome.labels.items(), key=lambda item: (-item[1], item[0]))
    rows = [(label, f"{count:,}") for label, count in found[:MAX_LABELS]]
    if len(found) > MAX_LABELS:
        rows.append((f"{len(found) - MAX_LABELS} more labels", ""))
    show_table(("predicted", "tracks"), rows)
    segments = f" and {counted(outcome.segments, 'segment')}" if outcome.segments else ""
    show(
        f"Predicted {counted(outcome.tracks, 'track')}{segments} by the model {outcome.model}, "
        f"into {printable(store)}/predictions."
    )
    if outcome.learnt:
        show(
            f"The model has learnt {counted(outcome.learnt, 'track')}, so the probabilities there "
            "are too high."
        )
    if outcome.suspects:
        show(
            f"{counted(outcome.suspects, 'track')} may have a wrong label or occur twice: "
            f"{command_for(printable(store), 'suspects')}"
        )


MAX_SUSPECTS = 25
"""Tracks of each kind that the command shows."""


def print_suspects(rows: list[dict[str, Any]], store: str) -> None:
    """Show the first recordings that occur twice, and the first labels that a model contradicts."""
    if not rows:
        show("No label is suspected to be wrong.")
        return
    repeated = [row for row in rows if row["duplicate_id"]]
    contradicted = [row for row in rows if not row["duplicate_id"]]
    if repeated:
        cells = [
            [str(row["rank"]), row["track_id"], row["label"], row["duplicate_id"]]
            + [row["suggested"] or row["label"]]
            for row in repeated[:MAX_SUSPECTS]
        ]
        show_table(("rank", "track", "label", "same recording as", "its label"), cells)
    if contradicted:
        cells = [
            [str(row["rank"]), row["track_id"], row["label"], row["suggested"]]
            + [f"{row[name]:.2f}" for name in ("probability", "self_confidence")]
            for row in contradicted[:MAX_SUSPECTS]
        ]
        names = ("rank", "track", "label", "suggested", "probability", "of its label")
        show_table(names, cells)
    more = sum(max(0, len(kind) - MAX_SUSPECTS) for kind in (repeated, contradicted))
    if more:
        show(f"and {more:,} more in {printable(store)}/suspects")


def print_models(found: "list[Version]", wrong: list[str], store: str) -> None:
    """List the models of a store, and the warnings about them."""
    if not found:
        show(f"No model yet. Run: {command_for(printable(store), 'train')}")
        return
    names = ("model", "predicts", "created", "kind", "rows of", "split", "tracks")
    rows = []
    for one in found:
        described = one.description
        cells = [one.version, "yes" if one.champion else ""]
        if described is None:
            cells.append("damaged")
        else:
            cells += [described.created_at[:16].replace("T", " "), described.kind]
            cells += [f"{described.feature_set} {described.level}s"]
            cells += [described.split["name"], f"{described.data['tracks']:,}"]
            scores = described.scores["track"]
            cells += [_score(scores, name) for name in ("accuracy", "macro_f1")]
        rows.append(cells)
    show_table((*names, "accuracy", "macro F1"), rows)
    for text in wrong:
        show(f"warning: {printable(text)}")


def _score(scores: dict[str, Any], name: str) -> str:
    """Return a score with its confidence interval, if it is known; a hyphen without a score."""
    if scores[name] is None:
        return "-"
    ends = _interval(scores.get(f"{name}_lower"), scores.get(f"{name}_upper"), 3)
    return f"{scores[name]:.3f}{ends}"


def _interval(lower: float | None, upper: float | None, digits: int) -> str:
    """Return an interval in parentheses; nothing if it is unknown or has no width.

    The bootstrap gives no width to the scores of a few tracks that are all right or all wrong.

    Examples
    --------
    >>> _interval(0.5, 0.75, 2), _interval(1.0, 1.0, 2)
    (' (0.50 to 0.75)', '')
    """
    if lower is None or upper is None:
        return ""
    ends = [f"{end:.{digits}f}" for end in (lower, upper)]
    return "" if ends[0] == ends[1] else f" ({ends[0]} to {ends[1]})"


def compare(
    *,
    store: options.Store,
    split: options.Splits = [defaults.SPLIT],  # noqa: B006  # Typer requires a list
    folds: Annotated[
        int, typer.Option(min=2, metavar="K", help="Folds of a split by track or by group.")
    ] = defaults.FOLDS,
    features: options.LearnFeatures = None,
    level: options.Level = None,
    models: options.Models = "tutorial",
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Fit models, and write and show their scores (STORE/comparison).

    Give --split twice to see two splits side by side. The tutorial's split, random, is too
    optimistic, because segments of one track are on both sides. An interrupted comparison goes on
    from its finished fits.
    """
    arguments = dict(locals())
    from jobs.learning.compare import as_json as to_json
    from jobs.learning.compare import compare as run

    outcome = run_job(run, print_comparison, to_json=to_json, **arguments)
    if outcome.failed == len(outcome.rows):
        raise SongmillError("no model could be fitted")


def train(
    *,
    store: options.Store,
    split: options.Split = defaults.SPLIT,
    features: options.LearnFeatures = None,
    level: options.Level = None,
    model: options.Model = "auto",
    tolerance: options.Tolerance = defaults.TOLERANCE,
    promote: Annotated[
        bool | None,
        typer.Option(
            "--promote/--no-promote", help="Promote the new model, or not, whatever its score."
        ),
    ] = None,
    keep_models: options.KeepModels = defaults.KEEP_MODELS,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Train a model on the cluster, evaluate it, and keep it in STORE/models.

    The evaluated model is trained on the training part; the model that predicts, on all rows.
    """
    arguments = dict(locals())
    from jobs.learning.train import as_json as to_json
    from jobs.learning.train import train as run

    run_job(run, print_training, to_json=to_json, **arguments)


def predict(
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE…",
            help="Recordings: files, folders, globs in quotes or list files, as for extract.",
        ),
    ] = None,
    store: options.Store,
    every: Annotated[
        bool, typer.Option("--all", help="Predict all tracks of STORE, into STORE/predictions.")
    ] = False,
    segments: Annotated[
        bool, typer.Option("--segments", help="Also predict each segment.")
    ] = False,
    long: Annotated[
        bool,
        typer.Option(
            "--long",
            help="With --all, also write STORE/predictions-long, a row for each track and label.",
        ),
    ] = False,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help="Predict by a model of this feature set: the champion, or the newest one if the "
            "champion is of another set.",
        ),
    ] = None,
    model: Annotated[
        Literal["lda", "xgboost"] | None,
        typer.Option(
            help="Predict by a model of this kind: the champion, or the newest one if the champion "
            "is of another kind."
        ),
    ] = None,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Predict the labels of recordings with the champion of STORE, or with another of its models.

    FILEs are analysed in this process; --all runs on the cluster. A labelled track of STORE is
    predicted by a model that has not learnt it.
    """
    from jobs.learning.predict_files import as_json as to_json
    from jobs.learning.predict_files import predict_files
    from jobs.learning.predict_store import predict_all

    if bool(files) == every:
        raise typer.BadParameter("give either FILEs, or --all for every track of the store")
    if long and not every:
        raise typer.BadParameter("--long needs --all")
    arguments: dict[str, Any] = {"store": store, "features": features, "model": model}
    arguments |= {"log_format": log_format, "quiet": quiet, "verbose": verbose}
    arguments["as_json"] = as_json
    if every:
        arguments |= {"segments": segments, "long": long}
        arguments |= {"scheduler": scheduler, "workers": workers}
        run_job(predict_all, partial(print_predicted_store, store=store), **arguments)
        return
    found = run_job(
        predict_files,
        partial(print_predicted_files, segments=segments),
        to_json=partial(to_json, segments=segments),
        files=files,
        **arguments,
    )
    if found.failed:
        raise SongmillError(f"{found.failed} of {len(found.files)} files gave no prediction")


def suspects(store: options.Store, as_json: options.Json = False) -> None:
    """List the labels of STORE that may be wrong, the most suspicious first.

    `songmill predict --all` finds them: a model that has not learnt the track contradicts its
    label confidently.
    """
    from jobs.learning.suspects import suspects as run

    rows = run(store)
    if as_json:
        print_json({"suspects": rows})
    else:
        print_suspects(rows, store)


def models(store: options.Store, as_json: options.Json = False) -> None:
    """List the models of STORE, newest first, and mark the champion, which predicts."""
    from jobs.learning.registry import list_models

    found, wrong = list_models(store)
    if as_json:
        print_json({"models": [asdict(one) for one in found], "wrong": wrong})
    else:
        print_models(found, wrong, store)


def promote(
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="A version listed by `songmill models`, or its end."
        ),
    ],
    store: options.Store,
    as_json: options.Json = False,
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
