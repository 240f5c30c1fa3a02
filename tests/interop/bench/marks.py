"""What must be reached, and what was: the rows that evaluations and benches print."""

from dataclasses import dataclass

from report import table

COLUMNS = {"what": ("mark", "{}"), "measured": ("measured", "{}"), "wanted": ("wanted", "{}"), "held": ("held", "{}")}


@dataclass(frozen=True)
class Mark:
    """A row: `held` is yes, no, or a dash where there is nothing to reach."""

    what: str
    measured: str
    wanted: str = "-"
    held: str = "-"

    @classmethod
    def of(cls, what: str, measured: str, wanted: str, is_held: bool) -> "Mark":
        """With its word."""
        return cls(what, measured, wanted, "yes" if is_held else "no")

    @classmethod
    def at_most(cls, what: str, measured: float | None, limit: float, form: str = "{:.1f}") -> "Mark":
        """A figure that must not be higher; without one the mark is missed."""
        found = "none" if measured is None else form.format(measured)
        return cls.of(what, found, "<= " + form.format(limit), measured is not None and measured <= limit)

    @classmethod
    def at_least(cls, what: str, measured: float | None, limit: float, form: str = "{:.1f}") -> "Mark":
        """A figure that must not be lower; without one the mark is missed."""
        found = "none" if measured is None else form.format(measured)
        return cls.of(what, found, ">= " + form.format(limit), measured is not None and measured >= limit)


def rows(marks: list[Mark]) -> str:
    """As a table."""
    return table(marks, COLUMNS)


def summary(marks: list[Mark]) -> str:
    """How many are held, and the names of those that are not."""
    wanted = [mark for mark in marks if mark.held != "-"]
    missed = [mark.what for mark in wanted if mark.held == "no"]
    held = f"{len(wanted) - len(missed)} of {len(wanted)} marks held"
    return held if not missed else f"{held}; missed: {'; '.join(missed)}"
