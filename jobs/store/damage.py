"""The error for a damaged or missing file of a store: what is wrong, and what to do."""

from jobs.errors import DamageError

_MADE_BY = {
    "comparison": "`songmill compare`",
    "duplicates": "`songmill similarity`",
    "features": "`songmill extract` (or `import-features`)",
    "files": "`songmill extract` (or `import-features`)",
    "tags": "`songmill extract --force`",
    "labels": "`songmill extract --labels FILE.csv`",
    "metrics": "`songmill similarity`",
    "models": "`songmill train`",
    "predictions": "`songmill predict --all`",
    "predictions-long": "`songmill predict --all --long`",
    "similarity": "`songmill similarity`",
    "similarity-matrix": "`songmill similarity --full`",
    "suspects": "`songmill predict --all`",
}
"""Commands that make the contents of a folder anew. Nothing else can be made anew."""

_IRREPARABLE = ("store.json", "_journal.json")


def remedy(root: str, name: str) -> str:
    """Return what to do about a damaged file of the store at ``root``.

    Examples
    --------
    >>> remedy("/s", "similarity/part-1.parquet")
    'Run `songmill verify --repair --store /s`, then `songmill similarity`'
    """
    if name.startswith("_work/"):
        return "Run the same command again"
    if name in _IRREPARABLE:
        return "Restore it from a copy"
    folder = name.partition("/")[0]
    for table in ("features", "comparison"):
        if folder.startswith(f"{table}-"):  # of a feature set that is not the published one
            folder = table
    made_by = _MADE_BY.get(folder)
    return f"Run `songmill verify --repair --store {root}`" + (f", then {made_by}" * bool(made_by))


def damage_error(root: str, name: str, problem: str) -> DamageError:
    """Return the error for the file ``name`` of the store at ``root``.

    Examples
    --------
    >>> print(damage_error("/s", "runs/part-1.parquet", "does not exist"))
    /s/runs/part-1.parquet does not exist. Run `songmill verify --repair --store /s`
    """
    return DamageError(f"{root}/{name} {problem}. {remedy(root, name)}", problem)
