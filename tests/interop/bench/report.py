"""What benches print: latencies, tables, the machine."""

import os
import platform
import statistics
import subprocess
from dataclasses import asdict
from typing import Any

from peers import Mosquitto


def percentiles(latencies: list[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile in milliseconds."""
    if len(latencies) < 2:
        return None, None
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def table(results: list[Any], columns: dict[str, tuple[str, str]]) -> str:
    """For people: of each result the fields that `columns` names, under their titles, in their forms."""
    rows = [[title for title, _ in columns.values()]]
    for found in results:
        values = asdict(found)
        rows.append([form.format(values[key]) if values[key] is not None else "-" for key, (_, form) in columns.items()])
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    mosquitto = subprocess.run([Mosquitto.program(), "-h"], capture_output=True, text=True, check=False)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "mosquitto": mosquitto.stdout.splitlines()[0] if mosquitto.stdout else "unknown",
    }
