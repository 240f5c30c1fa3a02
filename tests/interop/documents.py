"""The code blocks of the documents, each of a known kind."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from programs import REPOSITORY

DOCUMENTS = sorted(
    [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").glob("*.md"),
        REPOSITORY / "certs" / "README.md",
        *(REPOSITORY / "examples").glob("**/README.md"),
    ]
)
SECTIONS = ("gateway", "local", "uplink", "route", "engine", "models", "model", "source", "judge", "server", "dashboard")
# What a block may run beside verge. A program that is not here is a mistake of the document, or new here.
PROGRAMS = (
    *("cargo", "just", "python", "venv/bin/python", "venv/bin/pip", "mosquitto", "mosquitto_pub", "mosquitto_sub", "ffmpeg", "while"),
    *("apt", "apt-get", "dpkg", "systemctl", "journalctl", "tar", "cp", "mv", "rm", "mkdir", "chmod", "chown", "install"),
    *("cat", "cd", "ls", "openssl", "sha256sum", "touch", "env", "seq", "echo", "docker", "jq", "install.sh", "set-up"),
    *("git", "unzip", "base64", "systemd-analyze", "systemd-run", "ss", "date", "timedatectl", "lintian", "curl", "nano", "sudoedit"),
)


@dataclass(frozen=True)
class Block:
    """A piece of code in a document."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.document.relative_to(REPOSITORY)}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line that is no comment."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), "")

    def recognised(self) -> str | None:
        """What it is, if that is known."""
        return next((name for name, is_it in KINDS.items() if is_it(self)), None)

    def kind(self) -> str:
        """What it is; fails where that is unknown, so that nothing is left unchecked."""
        recognised = self.recognised()
        assert recognised, f"{self.place}: what kind of block is this?\n{self.text}"
        return recognised


def _is_json(block: Block) -> bool:
    return block.language == "json" or block.first.startswith('{"')


def _is_settings(block: Block) -> bool:
    return bool(re.match(r"\[\[?(" + "|".join(SECTIONS) + r")[.\]]", block.first))


def _is_counting(block: Block) -> bool:
    return block.first.startswith(("[track", "[data]"))


def _is_card(block: Block) -> bool:
    return re.search(r"^task = ", block.text, re.MULTILINE) is not None


def _is_mosquitto(block: Block) -> bool:
    return block.first.split(" ")[0] in ("user", "listener", "persistence", "topic", "cafile")


def _is_commands(block: Block) -> bool:
    return bool(commands(block.text)) and all(is_program(words[0]) for words in commands(block.text))


def is_program(word: str) -> bool:
    """Whether a block may run this: by name or by path."""
    return word.split("/")[-1] in ("verge", *(program.split("/")[-1] for program in PROGRAMS))


def _is_output(block: Block) -> bool:
    if re.search(r" \((expected|normally|normal) ", block.text):
        return True
    return block.first.startswith(("WARN ", "INFO ", "ERROR ", "FAULT ", "warning  "))


def _is_console(block: Block) -> bool:
    return block.language == "console" and block.first.startswith("$ ")


def _is_file(block: Block) -> bool:
    return block.language in ("csv", "text")


def _is_nginx(block: Block) -> bool:
    return block.first.startswith("location ")


def _is_unit(block: Block) -> bool:
    return block.first in ("[Unit]", "[Service]", "[Install]", "[Socket]")


def _is_bytes(block: Block) -> bool:
    return re.fullmatch(r"[0-9a-f\s]+", block.text) is not None


def _is_python(block: Block) -> bool:
    return block.first.startswith("import ")


# "console": commands behind "$ ", and what they print; "file": what a file holds.
KINDS = {
    "console": _is_console,
    "file": _is_file,
    "json": _is_json,
    "settings": _is_settings,
    "counting": _is_counting,
    "card": _is_card,
    "mosquitto": _is_mosquitto,
    "nginx": _is_nginx,
    "unit": _is_unit,
    "python": _is_python,
    "bytes": _is_bytes,
    "output": _is_output,
    "commands": _is_commands,
}


def blocks(document: Path) -> list[Block]:
    """Fenced and indented blocks. An indented one stands behind an empty line; lines of it that are empty divide kinds."""
    lines = document.read_text().splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        fence = re.match(r"^( *)```(\w*)( .*)?$", lines[at])
        begins = bool(re.match(r"^ {4,}\S", lines[at])) and (at == 0 or not lines[at - 1].strip())
        end = at + 1
        if fence:
            while end < len(lines) and not lines[end].strip().startswith("```"):
                end += 1
            assert end < len(lines), f"{document}:{at + 1}: a block that does not end"
            found.append(_block(document, at + 2, fence[2], lines[at + 1 : end]))
            end += 1
        elif begins:
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith("    ")):
                end += 1
            found += _divided(document, at + 1, lines[at:end])
        at = end
    return found


def _block(document: Path, line: int, language: str, lines: list[str]) -> Block:
    margin = min((len(text) - len(text.lstrip()) for text in lines if text.strip()), default=0)
    return Block(document, line, language, "\n".join(text[margin:] for text in lines).rstrip() + "\n")


def _divided(document: Path, line: int, lines: list[str]) -> list[Block]:
    """Pieces between empty lines, joined again where both are settings."""
    pieces: list[tuple[int, list[str]]] = []
    for number, text in enumerate(lines):
        if text.strip() and (number == 0 or not lines[number - 1].strip()):
            pieces.append((line + number, []))
        if text.strip():
            pieces[-1][1].append(text)
    found: list[Block] = []
    for number, piece in pieces:
        block = _block(document, number, "", piece)
        if found and _goes_on(found[-1], block):
            before = found.pop()
            block = Block(document, before.line, "", f"{before.text}\n{block.text}")
        found.append(block)
    return found


def _goes_on(before: Block, block: Block) -> bool:
    """Whether a piece belongs to the one before it."""
    several = before.recognised() in ("settings", "card", "python")
    return several and block.recognised() in (None, before.recognised())


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, each as words; pipes and lists are taken apart."""
    found: list[list[str]] = []
    for line in text.splitlines():
        for words in split_words(line):
            while words and words[0] in ("sudo", "do", "done"):
                words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words:
                found.append(words)
    return found


def split_words(line: str) -> list[list[str]]:
    """Words of a line, with a new list behind each `|`, `;` and `&`. What is redirected is left out."""
    quoted, words, lists = "", [""], []
    for letter in [*line, " "]:
        if quoted:
            if letter == quoted:
                quoted = ""
            else:
                words[-1] += letter
        elif letter in "'\"":
            quoted = letter
        elif letter == "#" and not words[-1]:
            break
        elif letter in "|;&":
            lists.append([word for word in words if word])
            words = [""]
        elif letter.isspace():
            words.append("")
        else:
            words[-1] += letter
    lists.append([word for word in words if word])
    return [_without_redirection(words) for words in lists if words]


def _without_redirection(words: list[str]) -> list[str]:
    return words[: words.index(">")] if ">" in words else words


def json_values(text: str) -> list[object]:
    """All JSON values of a text."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found
