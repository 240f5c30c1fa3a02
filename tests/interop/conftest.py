"""Fixtures, and a closing line in plain words."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Certificates
from models import Models
from scene import Scene


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for all tests."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Models, and ONNX Runtime to run them."""
    return Models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture
def scene(tmp_path: Path, certificates: Certificates) -> Iterator[Scene]:
    """Brokers that run, and a place for everything else."""
    made = Scene(tmp_path, certificates)
    try:
        yield made.open()
    finally:
        print(made.logs())
        made.close()


@pytest.fixture
def scene_without_upstream(tmp_path: Path, certificates: Certificates) -> Iterator[Scene]:
    """As `scene`, with the broker upstream not yet started."""
    made = Scene(tmp_path, certificates)
    try:
        yield made.open(with_upstream=False)
    finally:
        print(made.logs())
        made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last line: how many passed and how many failed, whatever else there is to say."""
    count = {kind: len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")}
    failed = count["failed"] + count["error"]
    if listed := os.environ.get("INTEROP_FAILED"):
        reports = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])]
        Path(listed).write_text("".join(f"tests/interop/{report.nodeid}\n" for report in reports))
    terminalreporter.write_line(f"interop: {count['passed']} passed, {failed} failed, {count['skipped']} skipped")
