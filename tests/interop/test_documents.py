"""What README and docs say to write, to type and to look at is there and is taken."""

import re
import subprocess
from pathlib import Path

import pytest

from documents import DOCUMENTS, SECTIONS, Block, blocks, commands, json_values
from programs import REPOSITORY, verge

ALL = [block for document in DOCUMENTS for block in blocks(document)]
CONFIGURATION = REPOSITORY / "configs" / "gateway.toml"
LOCAL = '[local]\nurl = "mqtt://localhost:1883"\n'
# Commands of the documents that would run for long, install something or never end.
ONLY_HELP = ("demo", "run", "runtime install", "watch", "broker")

def of_kind(*kinds: str) -> list:
    """The blocks of these kinds, as parameters of a test."""
    return [pytest.param(block, id=block.place) for block in ALL if block.kind() in kinds]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run(
        [verge(), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def completed(text: str) -> str:
    """A fragment of a configuration as a whole one."""
    has = set(re.findall(r"^\[\[?(\w+)", text, re.MULTILINE))
    named = set(re.findall(r"^\[(\w+\.[\w-]+)\]", text, re.MULTILINE))
    more = []
    if "gateway" not in has:
        more.append('[gateway]\nid = "documented"\nstate_dir = "state"\n')
    if "local" not in has:
        more.append(LOCAL)
    inputs = " ".join(re.findall(r"^inputs = \[(.*?)\]", text, re.MULTILINE))
    wanted = {name.split(":")[0] for name in re.findall(r'"(.*?)"', inputs)}
    if "judge" not in has and "source" not in has:
        wanted = {"completed"}
    of_cameras = set(re.findall(r"^\[source\.([\w-]+)\.mask\.", text, re.MULTILINE))
    counted = re.findall(r'"([\w-]+):([\w-]+)\.([\w*-]+)\.', inputs)
    for name, judge, place in counted:
        # Measures of a judge that counts.
        of_cameras.add(name)
        more.append(f'[judge.{judge}]\ninputs = ["{name}"]\ndetector = "track"\nmodel = "vehicles"\n')
        more.append(f"[judge.{judge}.line.north]\nfrom = [0.2, 0.6]\nto = [0.8, 0.6]\n")
        zone = "lane-1" if place == "*" else place
        more.append(f"[judge.{judge}.zone.{zone}]\npolygon = [[0.3, 0.5], [0.5, 0.5], [0.4, 0.9]]\n")
    if counted:
        more.append('[model.vehicles]\nfile = "models/vehicles.onnx"\n')
    for name in sorted(wanted | of_cameras):
        if f"source.{name}" not in named:
            source = f'[source.{name}]\ntopic = "completed/{name}/+"\ndevice = "topic:2"\n'
            frames = re.search(rf'^inputs = \["{name}"\]\ndetector = "(classify|detect|track)"', text, re.MULTILINE)
            more.append(source + ('codec = "jpeg"\n' if frames or name in of_cameras else f'codec = "number"\nsignal = "{name}"\n'))
    if "judge" not in has:
        first = next((name[7:] for name in sorted(named) if name.startswith("source.")), "completed")
        first = min(of_cameras, default=first)
        more.append(f'[judge.completed]\ninputs = ["{first}"]\ndetector = "silence"\nafter = "30s"\n')
    for name in sorted(set(re.findall(r'^model = "(.*?)"', text, re.MULTILINE))):
        if f"model.{name}" not in named:
            more.append(f'[model.{name}]\nfile = "models/{name}.onnx"\n')
    return "\n".join([text, *more])


def faults(folder: Path, text: str) -> list[str]:
    """What the checker says is wrong with a configuration; what it names need not exist, but for a list of tags."""
    (folder / "tags.csv").write_text("name,description\nvibration,bearing\n")
    (folder / "gateway.toml").write_text(text)
    checked = run(folder, "check", "-c", "gateway.toml", "--offline")
    found = [line for line in checked.stdout.splitlines() if line.startswith("FAULT")]
    assert "gateway.toml" in checked.stdout, checked.stdout + checked.stderr
    return found


def test_every_block_is_of_a_known_kind() -> None:
    assert len(ALL) > 40
    assert {block.kind() for block in ALL} >= {"settings", "card", "commands", "json"}


@pytest.mark.parametrize("block", of_kind("settings"))
def test_settings_are_taken(block: Block, tmp_path: Path) -> None:
    # Builds of the tests have no other provider than the processor, and a fault says so.
    found = faults(tmp_path, completed(block.text))
    assert [fault for fault in found if "expected a provider that this build has" not in fault] == []


@pytest.mark.parametrize("block", of_kind("card"))
def test_cards_are_taken(block: Block, tmp_path: Path) -> None:
    name = re.search(r'^file = "(.*)\.onnx"', block.text, re.MULTILINE)
    assert name, "a card names its model"
    (tmp_path / f"{name[1]}.toml").write_text(block.text)
    (tmp_path / f"{name[1]}.onnx").write_bytes(b"no model")
    labels = re.search(r'^labels = "(.*)"', block.text, re.MULTILINE)
    if labels:
        (tmp_path / labels[1]).write_text("one\ntwo\n")
    judge = f'[model.m]\nfile = "{name[1]}.onnx"\n[judge.j]\ninputs = ["s"]\nmodel = "m"\n'
    task = re.search(r'^task = "(.*)"', block.text, re.MULTILINE)
    assert task
    detector = {"reconstruct": "autoencoder"}.get(task[1], task[1])
    codec = "jpeg" if "layout" in block.text else "samples_i16"
    given = f'{judge}detector = "{detector}"\n[source.s]\ntopic = "s/+"\ncodec = "{codec}"\ndevice = "topic:1"\n'
    if codec != "jpeg":
        given += 'signal = "s"\n'
    (tmp_path / "gateway.toml").write_text(completed(given))
    checked = run(tmp_path, "check", "-c", "gateway.toml", "--offline")
    failed = [line for line in checked.stdout.splitlines() if line.startswith("FAILED") and "model.m:" in line]
    # The card is read first; what fails is the file, which is no model.
    assert failed and not any(f"{name[1]}.toml" in line for line in failed), checked.stdout


@pytest.mark.parametrize("block", of_kind("json"))
def test_json_is_json(block: Block) -> None:
    assert json_values(re.split(r"\n\s*\n", block.text)[0])


@pytest.mark.parametrize("block", of_kind("mosquitto"))
def test_lines_of_mosquitto_are_those_of_the_tested_examples(block: Block) -> None:
    tested = [path.read_text() for path in (REPOSITORY / "examples" / "mosquitto").iterdir()]
    tested.append((REPOSITORY / "tests" / "interop" / "peers.py").read_text())
    for line in (line.strip() for line in block.text.splitlines()):
        key = line.split(" ")[0]
        if line and not line.startswith("#"):
            assert any(key in text for text in tested), f"{block.place}: {line}"


@pytest.mark.parametrize("block", of_kind("commands", "console"))
def test_commands_are_taken(block: Block, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(described_before(block))
    typed = block.text
    if block.kind() == "console":
        typed = "\n".join(line[2:] for line in typed.splitlines() if line.startswith("$ "))
    for words in commands(typed):
        check_command(block.place, words, tmp_path)


def described_before(block: Block) -> str:
    """The configuration that a document has described where a command stands: all of it must fit together."""
    before = [one for one in ALL if one.document == block.document and one.line < block.line]
    before = [one for one in before if one.kind() == "settings" and not one.text.startswith("[local]")]
    text = "\n".join(one.text for one in before)
    if block.document.name != "README.md":
        # They speak of judges that the reader has.
        for name in re.findall(r"verge judge -c gateway.toml ([\w-]+)", block.text):
            if f"[judge.{name}]" not in text:
                text += f'\n[judge.{name}]\ninputs = ["of-{name}"]\n'
    return completed(text)


def check_command(place: str, words: list[str], folder: Path) -> None:
    """One command of a document."""
    program, arguments = words[0], words[1:]
    if program == "cargo":
        check_cargo(place, arguments, folder)
    elif program == "just":
        recipes = re.findall(r"^([a-z][a-z-]*)[^:\n]*:(?!=)", (REPOSITORY / "justfile").read_text(), re.MULTILINE)
        assert arguments[0] in recipes, f"{place}: just {arguments[0]}"
    elif program.endswith("python"):
        named = [word for word in arguments if word.startswith(("examples/", "tests/"))]
        assert all((REPOSITORY / word).exists() for word in named), f"{place}: {named}"
    elif program == "verge":
        check_verge(place, arguments, folder)


def check_cargo(place: str, arguments: list[str], folder: Path) -> None:
    """Of cargo: what it is to build exists; what it runs takes the arguments."""
    if "--example" in arguments:
        name = arguments[arguments.index("--example") + 1]
        found = [*REPOSITORY.glob(f"examples/{name}.rs"), *REPOSITORY.glob(f"crates/*/examples/{name}.rs")]
        assert found, f"{place}: no example {name}"
    elif arguments[0] == "run" and "--" in arguments:
        check_verge(place, arguments[arguments.index("--") + 1 :], folder)


def check_verge(place: str, arguments: list[str], folder: Path) -> None:
    """A command of ours is not wrong usage: exit code 64 with clap's words."""
    called = " ".join(arguments)
    helps = ["--help"] if called.startswith(ONLY_HELP) else []
    ended = run(folder, *arguments, *helps)
    if re.search(r"this build was made without the feature \w+", ended.stderr):
        return
    assert "Usage:" not in ended.stderr and "error:" not in ended.stderr, f"{place}: verge {called}\n{ended.stderr}"
    assert ended.returncode != 64 or "--url" in ended.stderr, f"{place}: verge {called}\n{ended.stderr}"


def mentions() -> list[tuple[str, str]]:
    """`verge …` within sentences."""
    found = []
    for document in DOCUMENTS:
        for words in re.findall(r"`verge ([^`]*)`", document.read_text()):
            found.append((str(document.relative_to(REPOSITORY)), words))
    return found


@pytest.mark.parametrize(("document", "words"), mentions())
def test_commands_in_sentences_exist(document: str, words: str, tmp_path: Path) -> None:
    given = [word for word in words.replace("…", " ").split() if word]
    path = [word for word in given if re.fullmatch(r"[a-z|-]+", word) and not word.startswith("-")]
    command = path[0]
    helped = run(tmp_path, command, "--help")
    assert helped.returncode == 0, f"{document}: verge {words}"
    shown = helped.stdout
    if len(path) > 1 and "Commands:" in shown:
        for one in path[1].split("|"):
            helped = run(tmp_path, command, one, "--help")
            assert helped.returncode == 0, f"{document}: verge {words}"
            shown = helped.stdout
    for flag in (word for word in given if word.startswith("--")):
        assert flag in shown, f"{document}: verge {words}: no {flag}"


def test_every_path_exists() -> None:
    roots = ("crates/", "configs/", "docs/", "examples/", "tests/")
    missing = []
    for document in [*DOCUMENTS, REPOSITORY / "ARCHITECTURE.md"]:
        text = document.read_text()
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            to = (document.parent / path).resolve() if path else document
            if not to.exists() or (anchor and anchor not in anchors(to)):
                missing.append(f"{document.name}: {target}")
        for path in re.findall(r"`([\w.-]+(?:/[\w.*-]+)+/?)`", text):
            inside = path if path.startswith(roots) else f"crates/{path}" if re.match(r"verge[\w-]*/src", path) else None
            if inside and not list(REPOSITORY.glob(inside.rstrip("/"))):
                missing.append(f"{document.name}: {path}")
    assert missing == []


def anchors(document: Path) -> set[str]:
    """What headings of a document can be linked as."""
    heads = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def defaults() -> list:
    """The lines of configs/gateway.toml that are commented out, with the section they stand in."""
    section, found = "", []
    for number, line in enumerate(CONFIGURATION.read_text().splitlines()):
        if re.match(r"^#?\[", line):
            section = line
        # A section that is commented out whole is none of single lines.
        elif re.match(r"^#[a-z0-9_]+ = ", line) and not section.startswith("#"):
            found.append(pytest.param(number, id=f"{section} {line[1:].split(' ')[0]}"))
    return found


def test_the_configuration_has_a_line_for_every_default() -> None:
    assert len(defaults()) > 80
    assert {name for name in SECTIONS if f"[{name}" in CONFIGURATION.read_text()} == set(SECTIONS)


def test_every_commented_default_is_taken(tmp_path: Path) -> None:
    lines = CONFIGURATION.read_text().splitlines()
    assert faults(tmp_path, "\n".join(lines)) == []
    refused = {}
    # These go with the other mode alone, and with cameras where the places have loops: nothing beside them helps.
    keys = ["listen", "access", "acl_file", "crl", "deny_file", "passwords", "tls_1_2", "enrol", "authority", "retained", "durable", "rate", "rate_bytes"]
    keys += ["max_topics", "max_connections", "max_waiting_per_address"]
    of_cameras = ["[uplink.nap.site.north] line", "[uplink.nap.site.north] zone"]
    alone = [*(f"[local] {key}" for key in keys), *of_cameras]
    for parameter in defaults():
        number = parameter.values[0]
        # One that needs a companion stands beside it.
        beside = [one for one in range(max(number - 8, 0), min(number + 9, len(lines))) if one != number and re.match(r"^#[a-z0-9_]+ = ", lines[one])]
        beside.sort(key=lambda one: abs(one - number))
        found = faults(tmp_path, with_lines(lines, number))
        helped = found and parameter.id not in alone
        if found and not (helped and any(faults(tmp_path, with_lines(lines, number, one)) == [] for one in beside)):
            refused[parameter.id] = found
    assert list(refused) == alone, refused
    embedded = '[local]\nmode = "embedded"\n'
    text = "\n".join(lines)
    begin, end = text.index("\n[local]"), text.index("\n[uplink.centre]")
    of_local = text[begin:end]
    assert '#listen = "127.0.0.1:1883"' in of_local
    for key in keys:
        (line,) = re.findall(rf"^#({key} = .*)$", of_local, re.MULTILINE)
        # Lists of certificates go with certificates.
        files = 'ca = "/etc/verge/ca.pem"\ncert = "/etc/verge/b.pem"\nkey = "/etc/verge/b.key"\n' if key in ("crl", "deny_file", "enrol", "authority") else ""
        # One needs the other.
        if key in ("enrol", "authority"):
            line = '\n'.join(re.findall(r"^#((?:enrol|authority) = .*)$", of_local, re.MULTILINE))
        assert faults(tmp_path, f"{text[:begin]}\n{embedded}{files}{line}\n{text[end:]}") == [], key


def with_lines(lines: list[str], *numbers: int) -> str:
    """The configuration with these lines no longer commented out."""
    return "\n".join(line[1:] if number in numbers else line for number, line in enumerate(lines))
