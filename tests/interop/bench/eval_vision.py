"""Holds what cameras are judged by against every mark of accuracy, and prints a row for each.

    python tests/interop/bench/eval_vision.py                         all parts, some ten minutes with the release build
    python tests/interop/bench/eval_vision.py --part clip             one part; may be given more than once
    python tests/interop/bench/eval_vision.py --quick                 small parts of the data: whether it works

    counts     simulated traffic at 30 to 1 frames a second against its truth (`verge eval vision`)
    health     faults of cameras, and 100,000 drawn pictures without one (`verge eval health`; the longest part)
    clip       four cars of a real clip: counts, health, what moves unexplained
    decoders   every decoder against an independent reader in numpy (test_decoders.py)
    models     precision and accuracy of the real models against those of reference pipelines
    pictures   pictures that are made to hurt (test_bombs.py)

All but the first two need VERGE_DATA. It ends with exit code 0 also where a mark is missed; the last line says which.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import road_clip  # noqa: E402
from marks import Mark, rows, summary  # noqa: E402
from models import Models  # noqa: E402
from programs import data, verge  # noqa: E402
from published import CLASSIFIERS, DETECTORS, PRECISION_MARGIN, VEHICLES  # noqa: E402
from report import machine  # noqa: E402

CASES = {
    "road": "road",
    "queue": "queue at a light",
    "turning": "turning at a junction",
    "pacing": "to and fro over a line",
    "angles": "36 angles",
    "lanes": "a line for each lane",
}
PERCENT = "{:.1f} %"
JUDGED_PICTURES = 100_000
# Models of which nobody publishes how good they are on these pictures: they must load and run.
UNSCORED = ["traffic_model", "version-RFB-320", "vww_96_int8"]


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def evaluated(*command: str) -> dict:
    """What `verge eval …` writes; its progress goes where ours goes."""
    done = subprocess.run([verge(), "eval", *command, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"verge eval {' '.join(command)} ends with {done.returncode}")
    return json.loads(done.stdout)


def counts(arguments: argparse.Namespace) -> Iterator[Mark]:
    """Counts and measures of simulated traffic."""
    share = arguments.share or (0.05 if arguments.quick else 1.0)
    found = evaluated("vision", "--seed", str(arguments.seed), "--share", str(share))["rows"]
    for case, name in CASES.items():
        for boxes, form in (("ideal", ideal_counts), ("detector-like", detected_counts)):
            own = {row["frames_per_s"]: row for row in found if (row["case"], row["boxes"]) == (case, boxes)}
            yield from form(case, name, own)
    yield from measures([row for row in found if row["frames_per_s"] == 10])


def worst(rates: dict[int, dict], least: int, key: str) -> float:
    """Of all rates from `least` on, in percent."""
    return max(100 * row[key] for rate, row in rates.items() if rate >= least)


def ideal_counts(_case: str, name: str, rates: dict[int, dict]) -> Iterator[Mark]:
    """Of boxes as they are."""
    wrong = worst(rates, 3, "worst")
    crossings = rates[30]["crossings"]
    yield Mark.of(f"ideal boxes, 30 to 3/s, {name}: wrong of {crossings:,}", PERCENT.format(wrong), "exact", wrong == 0)


def detected_counts(case: str, name: str, rates: dict[int, dict]) -> Iterator[Mark]:
    """Of boxes as detectors give them."""
    where = f"detector-like boxes, {name}"
    yield Mark.at_most(f"{where}, 30 to 5/s: wrong", worst(rates, 5, "wrong"), 1.0, PERCENT)
    yield Mark.at_most(
        f"{where}, 30 to 5/s: worst line and way", worst(rates, 5, "worst"), 4.0 if case == "angles" else 2.0, PERCENT
    )
    yield Mark.at_most(f"{where}, 3/s: wrong", 100 * rates[3]["wrong"], 1.5, PERCENT)
    if case != "angles":
        limit = 4.0 if case == "pacing" else 3.0
        yield Mark.at_most(f"{where}, 2/s: wrong", 100 * rates[2]["wrong"], limit, PERCENT)
    seldom = rates[1]["seldom"]
    yield Mark.of(f"{where}, 1/s: intervals that say so", f"{seldom:.0%}", "100%", seldom == 1)


def measures(found: list[dict]) -> Iterator[Mark]:
    """Events and traffic measures, at 10 frames a second."""
    for row in found:
        where = f"{row['boxes']} boxes, 10/s, {CASES[row['case']]}"
        least = 96.0 if row["case"] == "pacing" else 99.0
        yield Mark.at_least(f"{where}: found within 1 s", 100 * row["in_time"], least, PERCENT)
        if row["trips_wrong"] is not None:
            yield Mark.at_most(f"{where}: turning movements wrong", 100 * row["trips_wrong"], 1.0, PERCENT)
        if row["occupancy_off"] is not None:
            yield Mark.at_most(f"{where}: occupancy off", abs(row["occupancy_off"]), 0.02, "{:.3f}")
        if row["speed_off"] is not None:
            yield Mark.at_most(f"{where}: mean speed off", 100 * abs(row["speed_off"]), 3.0, PERCENT)
        if row["queue_off"] is not None:
            yield Mark.at_most(f"{where}: mean queue off", 100 * abs(row["queue_off"]), 20.0, PERCENT)


def health(arguments: argparse.Namespace) -> Iterator[Mark]:
    """Faults of cameras, and pictures without one."""
    frames = arguments.frames or (700 if arguments.quick else 100_002)
    found = evaluated("health", "--seed", str(arguments.seed), "--frames", str(frames))
    of_fault: dict[str, list[dict]] = {}
    for one in found["faults"]:
        of_fault.setdefault(one["fault"], []).append(one)
    for fault, hours in of_fault.items():
        after = [one["after_s"] for one in hours]
        slowest = None if None in after else max(after)
        yield Mark.at_most(f"camera {fault}: found, the slowest of {len(hours)} hours", slowest, hours[0]["within_s"], "{:.1f} s")
    alarms = sum(one["false_alarms"] for one in found["clean"])
    drawn = sum(one["frames"] for one in found["clean"])
    what = f"false alarms in {drawn:,} drawn pictures of {len(found['clean'])} weathers"
    # The mark is none in 100,000 pictures: fewer cannot show that it is held.
    yield Mark.of(what, str(alarms), "0", alarms == 0) if drawn >= JUDGED_PICTURES else Mark(what, str(alarms))


def clip(_arguments: argparse.Namespace) -> Iterator[Mark]:
    """Four cars of a real clip."""
    with tempfile.TemporaryDirectory(prefix="verge-clip-") as name:
        frames = road_clip.extract(Path(name))
        folders = (Path(name) / str(number) for number in range(100))

        def empty() -> Path:
            folder = next(folders)
            folder.mkdir()
            return folder

        for what, way in road_clip.WAYS.items():
            for rate, step in road_clip.STEPS.items():
                counted = road_clip.count(frames, empty(), way, step)
                found = f"{counted.forward} down, {counted.backward} up"
                yield Mark.of(f"clip by {what} at {rate}: cars", found, "2 down, 2 up", counted.is_right)
                yield Mark.at_most(f"clip by {what} at {rate}: frames off", counted.off, way.slack)
        for how, causes in (("judged", road_clip.causes_as_judged), ("counted", road_clip.causes_as_counted)):
            found = causes(frames, empty())
            wanted = ["unexplained_motion"]
            yield Mark.of(f"clip by vehicle labels alone, {how}: raised", ", ".join(found) or "nothing", *wanted, found == wanted)
        for rate in (road_clip.RATE, 4.0, 30.0):
            found = road_clip.causes_of_pictures(frames, rate)
            yield Mark.of(f"clip at {rate:g}/s: faults of the camera", ", ".join(found) or "none", "none", not found)


def tested(file: str) -> tuple[int, list[str]]:
    """Runs the tests of a file; says how many there are and which did not pass: one that is skipped shows nothing."""
    with tempfile.TemporaryDirectory(prefix="verge-tested-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", str(TESTS / file), f"--junitxml={report}"]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest {file} ends with {done.returncode}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    other = ("failure", "error", "skipped")
    failed = [one.get("name", "") for one in cases if any(one.find(outcome) is not None for outcome in other)]
    return len(cases), failed


def by_tests(what: str, file: str) -> Iterator[Mark]:
    """One row for a file of tests."""
    count, failed = tested(file)
    found = f"{count - len(failed)}" + (f", not {', '.join(failed)}" if failed else "")
    yield Mark.of(what, found, f"{count}", count > 0 and not failed)


def models(_arguments: argparse.Namespace) -> Iterator[Mark]:
    """The real models on real pictures."""
    with tempfile.TemporaryDirectory(prefix="verge-models-") as name:
        made = Models.make(Path(name))
        for model, wanted in CLASSIFIERS.items():
            say(f"{model} …")
            found = evaluated("classify", "--model", str(made.real(model)), "--data", str(data() / "imagenet_sample"))
            # A picture is a picture: half of one is for rounding.
            margin = (wanted.pictures + 0.5) / found["n"]
            for key, reference in (("top1", wanted.accuracy.top1), ("top5", wanted.accuracy.top5)):
                yield near(f"{model}, {key}", found[key], reference, margin, wanted.pictures / found["n"])
        folders = {"coco": ("coco_val128", []), "traffic": ("traffic_topview", ["--group", f"Vehicle={','.join(VEHICLES)}"])}
        for model, wanted_of in DETECTORS.items():
            for what, wanted in wanted_of.items():
                say(f"{model}, {what} …")
                folder, options = folders[what]
                command = ["detect", "--model", str(made.real(model)), "--data", str(data() / folder), *options]
                found = evaluated(*command)
                for key, reference in (("map", wanted.map), ("ap50", wanted.ap50)):
                    yield near(f"{model}, {what}, {key}", found[key], reference, PRECISION_MARGIN, PRECISION_MARGIN)
        run = [model for model in UNSCORED if runs(made, model)]
        yield Mark.of("models without published figures that run", str(len(run)), str(len(UNSCORED)), run == UNSCORED)


def near(what: str, found: float, reference: float, margin: float, shown: float) -> Mark:
    """A figure of a reference pipeline."""
    return Mark.of(what, f"{found:.3f}", f"{reference:.3f} ± {shown:.3f}", abs(found - reference) <= margin)


def runs(made: Models, model: str) -> bool:
    """Whether a model looks at pictures at all."""
    command = [verge(), "model", "bench", str(made.real(model)), "--data", str(data() / "coco_val128" / "images")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        say(f"{model}: {done.stderr}")
    return done.returncode == 0


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Mark]]] = {
    "counts": counts,
    "health": health,
    "clip": clip,
    "decoders": lambda _arguments: by_tests("decoders that read what numpy reads", "test_decoders.py"),
    "models": models,
    "pictures": lambda _arguments: by_tests("pictures that are made to hurt: handled or refused, and counted", "test_bombs.py"),
}


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="only this one; may be given more than once")
    parser.add_argument("--share", type=float, help="of the time of the simulated traffic; default: 1")
    parser.add_argument("--frames", type=int, help="drawn pictures without a fault; default: 100,002")
    parser.add_argument("--seed", type=int, default=1, help="of what is simulated and drawn")
    parser.add_argument("--quick", action="store_true", help="small parts of the data: whether it works")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found: list[Mark] = []
    for part in arguments.part or PARTS:
        say(f"{part} …")
        own = list(PARTS[part](arguments))
        if not arguments.json:
            print(f"\n{part}\n{rows(own)}", flush=True)
        found += own
    if arguments.json:
        print(json.dumps({"machine": machine(), "marks": [asdict(one) for one in found]}, indent=2))
    else:
        print(f"\n{summary(found)}")


if __name__ == "__main__":
    main()
