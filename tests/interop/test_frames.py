"""Real pictures from foreign clients through two mosquittos: what arrives upstream is as good as the models are.

A sample of the pictures by default; all of them, against the published figures, with VERGE_FULL=1 (`just frames`).
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import pictures
from cameras import publish_file
from certificates import Certificates
from gateway import Gateway, Settings
from ledger import Ledger
from models import Models
from pictures import Labelled, Picture
from programs import data, is_full
from published import CLASSIFIERS, DETECTORS, PRECISION_MARGIN, VEHICLES
from scene import Scene, frame_source, looking
from scoring import Accuracy, Box, Precision, Seen, accuracy, average_precision, union
from wire import Verdict

DETECTOR = "yolox_nano"


SAMPLE = 12
# Of a sample, the foreign scorer's figures for verdicts and for `verge eval` may differ by so much: verdicts hold
# boxes in whole pixels and scores in thousandths.
ROUNDING_MARGIN = 0.02
CAMERAS = 4


@dataclass
class Judged:
    """What was published, and the verdicts on it."""

    folder: Path
    gateway: Gateway
    ledger: Ledger
    status: dict
    coco: list[Picture]
    traffic: list[Picture]
    imagenet: list[Labelled]
    labels: list[str]

    def of(self, source: str, judge: str) -> dict[str, list[Verdict]]:
        """Verdicts by camera, in order."""
        found = defaultdict(list)
        for verdict in self.ledger.in_order("verdict"):
            if (verdict.fields["source"], verdict.fields["judge"]) == (source, judge):
                found[verdict.fields["device"]].append(verdict)
        return found

    def seen(self, verdict: Verdict, picture: Picture) -> Seen:
        """The detections of a verdict for the scorer."""
        body = verdict.fields["detections"]
        boxes = [
            Box(self.labels.index(one["label"]), one["score"], one["x"], one["y"], one["width"], one["height"])
            for one in body["objects"]
        ]
        return Seen(picture, body["width"], body["height"], boxes)

    def on_coco(self) -> list[Seen]:
        """Each picture came from a camera of its own."""
        verdicts = self.of("coco", "objects")
        return [self.seen(*verdicts[picture.name], picture) for picture in self.coco]

    def on_traffic(self) -> list[Seen]:
        """Cameras took turns, and every frame of each was judged in its order."""
        verdicts = self.of("traffic", "objects")
        numbered = enumerate(self.traffic)
        return [self.seen(verdicts[camera(number)][number // CAMERAS], picture) for number, picture in numbered]

    def as_vehicles(self, seen: list[Seen]) -> list[Seen]:
        """All vehicles as one class."""
        labels = {self.labels.index(label) for label in VEHICLES}
        return [Seen(one.picture, one.width, one.height, union(one.boxes, labels)) for one in seen]

    def top5(self, model: str) -> list[list[str]]:
        """Labels reported of each picture, best first."""
        verdicts = self.of("imagenet", model)
        reported = [verdicts[picture.name] for picture in self.imagenet]
        return [[one["label"] for one in verdict.fields["classification"]["labels"]] for (verdict,) in reported]


def camera(number: int) -> str:
    """Which camera a frame of the traffic came from."""
    return f"camera-{number % CAMERAS}"


@pytest.fixture(scope="module")
def judged(models: Models, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Everything published, judged and received, once for all tests."""
    scene = Scene(tmp_path_factory.mktemp("frames"), certificates)
    # As mosquitto is installed: it sends twenty messages ahead of their acknowledgements.
    scene.site.max_inflight = 20
    try:
        return publish_and_receive(scene.open(), models)
    finally:
        print(scene.logs())
        scene.close()


def publish_and_receive(scene: Scene, models: Models) -> Judged:
    """From the files to the ledger of verdicts."""
    sources = {name: frame_source(f"{name}/+/frame") for name in ("coco", "traffic", "imagenet")}
    judges: Settings = {"objects": looking(["coco", "traffic"], "detect", DETECTOR, score=0.01)}
    judges |= {name: looking(["imagenet"], "classify", name) for name in CLASSIFIERS}
    cards = {name: {"file": str(models.real(name))} for name in (DETECTOR, *CLASSIFIERS)}
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(sources, judges, model=cards))

    given = [pictures.coco(), pictures.traffic(), pictures.imagenet()]
    coco, traffic, imagenet = given if is_full() else [pictures.spread(all_of, SAMPLE) for all_of in given]
    for picture in coco:
        publish_file(scene.site.listeners[0], f"coco/{picture.name}/frame", picture.path)
    device = scene.device()
    for number, picture in enumerate(traffic):
        device.publish(f"traffic/{camera(number)}/frame", picture.path.read_bytes())
    for labelled in imagenet:
        device.publish(f"imagenet/{labelled.name}/frame", labelled.path.read_bytes())
    device.flush()

    verdicts = len(coco) + len(traffic) + len(imagenet) * len(CLASSIFIERS)
    ledger = receiver.wait_for_verdicts(verdicts, seconds=300)
    assert len(ledger.verdicts) == verdicts
    assert gateway.stop() == 0
    status = receiver.wait_for_status("stopped")
    return Judged(scene.folder, gateway, ledger, status, coco, traffic, imagenet, models.labels(DETECTOR))


def test_every_frame_is_judged_once(judged: Judged) -> None:
    judged.ledger.assert_sound()
    assert judged.ledger.duplicates == 0, "nothing failed, so nothing should come twice"
    published = {"coco": judged.coco, "traffic": judged.traffic, "imagenet": judged.imagenet}
    for source in judged.status["sources"]:
        count = len(published[source["name"]])
        assert (source["judged"], source["frames"]) == (count, count)
        assert (source["superseded"], source["in_flight"]) == (0, 0)
        # The frames wait in the network, not refused and sent again.
        assert (source["received"], source["refused"]) == (count, 0)
    assert judged.status["local"]["outstanding"] == 0


def test_verdicts_name_their_model(judged: Judged) -> None:
    for verdict in judged.ledger.in_order():
        fields = verdict.fields
        expected = DETECTOR if fields["judge"] == "objects" else fields["judge"]
        assert fields["model"]["name"] == expected
        assert fields["detector"] == ("detect" if fields["judge"] == "objects" else "classify")
        assert (fields["severity"], fields["event"]) == ("info", None)


def foreign_eval(judged: Judged, models: Models, chosen: list[Picture], *options: str) -> tuple[Precision, Precision]:
    """`verge eval detect` on these pictures: its own figures, and the foreign scorer's on the detections it writes."""
    folder = judged.folder / f"eval-{len(options)}"
    linked(folder, chosen)
    written = folder / "detections.json"
    command = ["--json", "eval", "detect", "--model", str(models.real(DETECTOR)), "--data", str(folder)]
    done = judged.gateway.run(*command, "--detections", str(written), *options, seconds=300)
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported["n"] == len(chosen)
    boxes = defaultdict(list)
    for one in json.loads(written.read_text()):
        boxes[one["file_name"]].append(Box(one["category_id"], one["score"], *one["bbox"]))
    # Truth is in shares of the sides, of which the verdicts tell.
    sizes = {one.picture: (one.width, one.height) for one in judged.on_coco() + judged.on_traffic()}
    seen = [Seen(picture, *sizes[picture], boxes[picture.path.name]) for picture in chosen]
    return Precision(reported["map"], reported["ap50"]), average_precision(seen)


def linked(folder: Path, chosen: list[Picture]) -> None:
    """A folder with links to these pictures and their labels, laid out as `verge eval` reads it."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for picture in chosen:
        os.symlink(picture.path, folder / "images" / picture.path.name)
        labels = picture.path.parent.parent / "labels" / f"{picture.name}.txt"
        if labels.exists():
            os.symlink(labels, folder / "labels" / labels.name)


@pytest.mark.parametrize("what", ["coco", "traffic"])
def test_detections_are_as_precise_as_published(judged: Judged, models: Models, what: str) -> None:
    if what == "coco":
        verdicts = average_precision(judged.on_coco())
        reported, foreign = foreign_eval(judged, models, judged.coco)
        published = ("mAP", DETECTORS[DETECTOR]["coco"].map, verdicts.map)
    else:
        verdicts = average_precision(judged.as_vehicles(judged.on_traffic()))
        reported, foreign = foreign_eval(judged, models, judged.traffic, "--group", f"Vehicle={','.join(VEHICLES)}")
        published = ("AP50", DETECTORS[DETECTOR]["traffic"].ap50, verdicts.ap50)
    figures = {"verdicts": verdicts, "verge eval": reported, "its detections by pycocotools": foreign}
    for name, precision in figures.items():
        print(f"{what}, {name}: mAP {precision.map:.4f}, AP50 {precision.ap50:.4f}")
    assert tuple(reported) == pytest.approx(tuple(foreign), abs=0.002), "verge reckons as pycocotools does"
    assert tuple(verdicts) == pytest.approx(tuple(foreign), abs=PRECISION_MARGIN if is_full() else ROUNDING_MARGIN)
    if is_full():
        measure, expected, found = published
        assert found == pytest.approx(expected, abs=PRECISION_MARGIN), f"{measure} as published"


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classes_are_as_accurate_as_published(judged: Judged, models: Models, model: str) -> None:
    labels = models.labels(model)
    reported = judged.top5(model)
    found = accuracy([(labels[one.label], best) for one, best in zip(judged.imagenet, reported)])
    share = agreement(judged.imagenet, reported, labels, model)
    print(f"{model}: top-1 {found.top1:.4f}, top-5 {found.top5:.4f}, top-1 as the reference's {share:.4f}")
    if is_full():
        published = CLASSIFIERS[model]
        assert share >= published.same
        margin = published.pictures / len(reported) + 1e-4
        assert tuple(found) == pytest.approx(tuple(published.accuracy), abs=margin)
        check_predictions(judged, models, model, found, lambda label: labels[label])


def agreement(chosen: list[Labelled], reported: list[list[str]], labels: list[str], model: str) -> float:
    """Share of pictures whose best class is that of the reference pipeline, the background left out in both."""
    reference = pictures.reference_top5(model)
    best = [next(label for label in reference[one.path.name] if label > 0) for one in chosen]
    return sum(labels[expected] == labels_reported[0] for expected, labels_reported in zip(best, reported)) / len(chosen)


def check_predictions(
    judged: Judged, models: Models, model: str, found: Accuracy, label_of: Callable[[int], str]
) -> None:
    """`verge eval classify` says the same as the foreign count over the predictions it writes, and as the verdicts."""
    written = judged.folder / f"{model}.jsonl"
    folder = str(data() / "imagenet_sample")
    command = ["--json", "eval", "classify", "--model", str(models.real(model)), "--data", folder]
    done = judged.gateway.run(*command, "--predictions", str(written), seconds=300)
    assert done.returncode == 0, done.stderr
    predictions = {line["file"]: line["top5"] for line in map(json.loads, written.read_text().splitlines())}
    chosen = judged.imagenet
    foreign = accuracy([(label_of(one.label), [label_of(n) for n in predictions[one.path.name]]) for one in chosen])
    own = json.loads(done.stdout)
    assert (own["top1"], own["top5"]) == pytest.approx(tuple(foreign))
    assert tuple(found) == pytest.approx(tuple(foreign)), "the gateway sees what `verge eval` sees"
