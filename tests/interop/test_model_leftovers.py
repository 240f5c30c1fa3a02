"""What a command about models leaves behind where it is killed, and which processes outlive it: nothing that the next one does not remove,
and none; and how it ends where the system gives it too little memory to begin."""

import os
import re
import resource
import signal
import subprocess
from pathlib import Path

from injection import kill_at
from life import NAME, Life
from models import Models
from programs import tool, verge
from test_model_transport import Far, far
from test_quantize import small, some_pictures
from waiting import wait_for

DONE, TEMPORARY = 0, 75
# The fixture is used by its name.
__all__ = ["far"]


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_killed_patch_delta_or_sign_left_is_swept_by_the_next(tmp_path: Path) -> None:
    life = Life.make(tmp_path / "life")
    old, new = (life.card(version, padding=4096).with_suffix(".onnx") for version in (1, 2))
    changes, folder = tmp_path / "changes", tmp_path / "out"
    folder.mkdir()
    assert life.verge("model", "delta", str(old), str(new), "-o", str(changes)).returncode == DONE
    key = ["--key", str(life.key("publisher")), "--counter", "5"]
    commands = {
        "patch": ["patch", str(old), str(changes)],
        "delta": ["delta", str(old), str(new)],
        "sign": ["sign", str(new.with_suffix(".toml")), *key],
    }
    for name, arguments in commands.items():
        # Complete, and about to take its name.
        done = life.verge("model", *arguments, "-o", str(folder / "killed"), before=kill_at("rename", 1))
        assert done.returncode not in (DONE, TEMPORARY) and len(hidden(folder)) == 1, f"{name}: {hidden(folder)}"
        # Whatever the next one is called, and whatever it makes.
        assert life.verge("model", *commands["patch"], "-o", str(folder / "next")).returncode == DONE
        assert [path.name for path in folder.iterdir()] == ["next"], name
        (folder / "next").unlink()


def test_what_a_killed_quantize_tried_is_swept_and_what_another_tries_stays(models: Models, tmp_path: Path) -> None:
    assert models.folder
    card, pictures, temporary = small(tmp_path / "m"), some_pictures(tmp_path / "p", 60), tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    arguments = ["--data", str(pictures), "--max-drop", "100", "--keep-slower"]

    def begun(name: str) -> tuple[subprocess.Popen, str]:
        before = set(hidden(temporary))
        command = [verge(), "model", "quantize", str(card), *arguments, "-o", str(tmp_path / name)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The one that holds what is tried.
        made = lambda: [one for one in set(hidden(temporary)) - before if (temporary / one / "candidate.onnx").exists()]  # noqa: E731
        (folder,) = wait_for(made, "something is tried", 60)
        return process, folder

    killed, left = begun("killed")
    killed.kill()
    killed.wait(10)
    assert left in hidden(temporary)
    at_work, kept = begun("kept")
    os.kill(at_work.pid, signal.SIGSTOP)
    assert left not in hidden(temporary)
    command = [verge(), "model", "quantize", str(card), *arguments, "-o", str(tmp_path / "next")]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    assert kept in hidden(temporary)
    os.kill(at_work.pid, signal.SIGCONT)
    assert at_work.wait(120) == DONE and hidden(temporary) == []


def test_a_gateway_that_ends_takes_the_command_about_models_with_it(far: Far) -> None:
    """As with Ctrl-C: the command has a group of its own, which the terminal does not reach."""
    far.start()
    life = far.life
    # Its first picture takes a minute and more.
    models = Models(life.folder / "v1")
    models.folder.mkdir()
    card = models.slow(NAME, 8_000)
    package = life.folder / "slow.vmodel"
    key = ["--key", str(life.key("publisher")), "--counter", "1"]
    done = life.verge("model", "sign", str(card), *key, "-o", str(package))
    assert done.returncode == DONE, done.stderr
    pushing = subprocess.Popen(far.pushing(package), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        children = wait_for(lambda: descendants(far.gateway.pid, "probe"), "the package is tried", 60)
        others = descendants(far.gateway.pid, "push")
        assert others and children
        os.kill(far.gateway.pid, signal.SIGINT)
        wait_for(lambda: not far.gateway.is_running, "the gateway ends", 30)
        wait_for(lambda: not [pid for pid in children + others if is_alive(pid)], "they end with it", 5)
    finally:
        pushing.kill()
        pushing.wait(10)
    # Nothing holds the store.
    done = far.gateway.run("model", "rollback", NAME, "-c", str(far.gateway.configuration))
    assert done.returncode == DONE and "nothing to roll back" in done.stdout + done.stderr, done.stdout + done.stderr


def is_alive(pid: int) -> bool:
    """Whether a process is at work; one that was killed may be there until somebody asks for it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def descendants(of: int, word: str) -> list[int]:
    """Processes that a process has started, at any remove, with this argument."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(folder.name)] = int(re.search(r"^PPid:\s*(\d+)", status, re.M)[1])
    found, open_ = [], [of]
    while open_:
        parent = open_.pop()
        own = [pid for pid, one in parents.items() if one == parent]
        open_ += own
        found += [pid for pid in own if word.encode() in commands[pid]]
    return found


def test_too_little_memory_to_begin_is_a_temporary_fault(tmp_path: Path) -> None:
    """`ulimit -v` from where the system loads the program at all, on in small steps."""
    life = Life.make(tmp_path / "life")

    def ran(limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        limited = lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # noqa: E731
        return subprocess.run([verge(), *arguments], preexec_fn=limited, capture_output=True, text=True, timeout=60, check=False)

    low, high = 1 << 20, 4 << 30
    # It prints its version before it starts anything.
    while high - low > 64 << 10:
        middle = (low + high) // 2
        low, high = (low, middle) if ran(middle, "--version").returncode == DONE else (middle, high)
    refused = 0
    for limit in range(high, high + (8 << 20), 128 << 10):
        done = ran(limit, "model", "ls", "-c", str(life.configuration))
        # An allocation that fails ends a program of Rust at once: it panics nowhere.
        is_out_of_memory = done.returncode == -signal.SIGABRT and done.stderr.startswith("memory allocation of ")
        assert is_out_of_memory or done.returncode in (DONE, TEMPORARY), f"{limit - high} bytes beyond: {done.returncode} {done.stderr}"
        if done.returncode == TEMPORARY:
            refused += 1
            assert "ulimit -v" in done.stderr and "temporary fault" in done.stderr, done.stderr
    assert refused > 0


def test_limits_of_the_system_that_are_lower_keep_no_package_out(models: Models, tmp_path: Path) -> None:
    """`LimitAS=` and `LimitCPU=` of a unit: what is loaded first has its own limits below these, and raises none."""
    assert models.folder
    life = Life.make(tmp_path / "life")
    card = life.card(0)
    for number, limits in enumerate((["--as=1000000000"], ["--cpu=50"], ["--as=1000000000:1000000000", "--cpu=50:50", "--core=0"]), 1):
        before = [tool("prlimit"), *limits]
        said = life.push(life.sign(number), before=before)
        assert "staged" in said
        done = life.verge("model", "bench", str(card), before=before)
        assert done.returncode == DONE, done.stderr
