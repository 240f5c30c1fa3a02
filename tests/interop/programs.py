"""Where the programs under test and the tools of the tests are."""

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Debian keeps daemons where only root's PATH leads.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def tool(name: str) -> str:
    """Full path of an installed program."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed (see PACKAGES in .ci/run)")
    return found


def built(name: str, how: str) -> Path:
    """A build product: of the profile that VERGE_PROFILE names (debug, as CI does), else of the release build."""
    path = REPOSITORY / "target" / os.environ.get("VERGE_PROFILE", "release") / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {how} makes it (without --release for VERGE_PROFILE=debug)")
    return path


def verge() -> str:
    """The gateway: what VERGE_BIN names, else as built."""
    named = os.environ.get("VERGE_BIN")
    return named or str(built("verge", "cargo build --release -p verge"))


def data() -> Path:
    """The folder with real data, named by VERGE_DATA."""
    named = os.environ.get("VERGE_DATA")
    if not named:
        raise FileNotFoundError("VERGE_DATA does not name the folder with real data")
    return Path(named)


def is_full() -> bool:
    """Whether all of the data is to be gone through, for minutes (VERGE_FULL=1), or a sample of it."""
    return os.environ.get("VERGE_FULL", "0") == "1"
