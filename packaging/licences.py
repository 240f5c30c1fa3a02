"""Prints the licences of everything that is linked into the program, each text once.

    python3 packaging/licences.py x86_64-unknown-linux-gnu > LICENCES.txt
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

PREFIXES = ("license", "licence", "copying", "notice", "unlicense", "copyright")


def linked(target: str) -> list[dict]:
    """The packages that end up in the `verge` of a package: normal dependencies, neither build scripts nor tests."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--no-default-features"]
    command += ["--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [identity for identity, package in packages.items() if package["name"] == "verge"]
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    foreign = [packages[identity] for identity in seen if packages[identity]["source"]]
    return sorted(foreign, key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    """The licence files that a package brings."""
    folder = Path(package["manifest_path"]).parent
    files = [path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(PREFIXES)]
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(files)]


def main() -> None:
    """Writes the list, then the texts."""
    users: dict[str, list[str]] = defaultdict(list)
    whole: dict[str, str] = {}
    packages = linked(sys.argv[1])
    print("Verge is under the Apache License 2.0, see LICENSE. It contains the following packages.\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"  {name}: {package['license']}")
        for text in texts(package):
            # The same text in lines of other lengths is the same text.
            key = " ".join(text.split())
            whole.setdefault(key, text)
            users[key].append(name)
    for key, names in users.items():
        print(f"\n{'-' * 100}\n{', '.join(names)}\n\n{whole[key]}")


if __name__ == "__main__":
    main()
