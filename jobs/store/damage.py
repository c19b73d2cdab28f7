"""The error for a damaged or missing file of a store: what is wrong, and what to do."""

from jobs.errors import DamageError, command_for

_MADE_BY = {
    "comparison": "compare",
    "duplicates": "similarity",
    "features": "extract SOURCE",
    "files": "extract SOURCE",
    "tags": "extract SOURCE --force",
    "labels": "extract SOURCE --labels FILE.csv",
    "metrics": "similarity",
    "models": "train",
    "predictions": "predict --all",
    "predictions-long": "predict --all --long",
    "similarity": "similarity",
    "similarity-matrix": "similarity --full",
    "suspects": "predict --all",
}
"""Commands that make the contents of a folder anew. Nothing else can be made anew."""

_IRREPARABLE = ("store.json", "_journal.json")


def remedy(root: str, name: str) -> str:
    """Return what to do about a damaged file of the store at ``root``.

    Examples
    --------
    >>> remedy("/s", "similarity/part-1.parquet")
    'Run `songmill verify --repair --store /s`, then `songmill similarity --store /s`'
    """
    if name.startswith("_work/"):
        return "Run the same command again"
    if name in _IRREPARABLE:
        return "Restore it from a copy"
    folder = name.partition("/")[0]
    for table in ("features", "comparison"):
        if folder.startswith(f"{table}-"):  # of a feature set that is not the published one
            folder = table
    commands = filter(None, ["verify --repair", _MADE_BY.get(folder)])
    lines = ", then ".join(f"`{command_for(root, command)}`" for command in commands)
    features = " (or `import-features`)" if folder in ("features", "files") else ""
    return f"Run {lines}{features}"


def damage_error(root: str, name: str, problem: str) -> DamageError:
    """Return the error for the file ``name`` of the store at ``root``.

    Examples
    --------
    >>> print(damage_error("/s", "runs/part-1.parquet", "does not exist"))
    /s/runs/part-1.parquet does not exist. Run `songmill verify --repair --store /s`
    """
    return DamageError(f"{root}/{name} {problem}. {remedy(root, name)}", problem)
