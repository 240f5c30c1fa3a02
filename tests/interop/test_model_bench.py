"""What `verge model bench` measures, beside onnxruntime's own time of the same file and beside `verge eval`."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models import Models
from programs import data, verge

NAME = "mobilenet_v2_1.0_224_quant"
PICTURES = 30


def said(*arguments: str) -> dict:
    done = subprocess.run([verge(), "--json", *arguments], capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def runs(weights: Path) -> list[float]:
    """Processor time of runs in one thread, in ms."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    picture = {session.get_inputs()[0].name: np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)}
    took = []
    for _ in range(PICTURES):
        began = time.process_time()
        session.run(None, picture)
        took.append((time.process_time() - began) * 1e3)
    return took


@pytest.mark.skipif(not (data() / "imagenet_sample").is_dir(), reason="without the measuring data")
def test_bench_measures_what_the_library_takes(models: Models) -> None:
    card = str(models.real(NAME))
    pictures = ["--data", str(data() / "imagenet_sample"), "--limit", str(PICTURES)]
    # They take turns: whatever else runs on the machine slows all alike.
    bench, scored, foreign = [], [], []
    for _ in range(3):
        bench.append(said("model", "bench", card, *pictures)["models"][0]["cpu_ms"])
        scored.append(said("eval", "classify", "--model", card, *pictures)["cpu_ms"])
        foreign.append(float(np.median(runs(data() / "models" / "imagenet" / f"{NAME}.onnx"))))
    print(f"\nms of a frame: bench {bench}, eval {scored}, onnxruntime alone {foreign}")
    # With the preparation of the picture, which is a small part of it; the mark between bench and eval is 10 %.
    assert 0.8 * min(foreign) <= min(bench) <= 1.5 * min(foreign)
    assert abs(min(bench) / min(scored) - 1) <= 0.25
