"""Trains the detector of the demo's junction and writes it as ONNX.

    python train.py --train FOLDER --held-out FOLDER [--steps N] [--out FOLDER]

Both folders come from `cargo run --release --example junction_frames`. Everything random is seeded and the work is
done by one core, so the same frames give the same file again on the same machine.
"""

import argparse
import hashlib
import os
import pathlib
import time

# One core: sums are then always taken in the same order.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SEED = 20261126
WIDTH, HEIGHT = 384, 288
STRIDES = (8, 16)
CLASSES = ("car", "truck", "bicycle")
CELLS = sum((WIDTH // stride) * (HEIGHT // stride) for stride in STRIDES)
BATCH = 16
PEAK_RATE = 3e-3
WEIGHT_DECAY = 1e-3
# Vehicles whose side (square root of the area, in pixels of the input) is below this are found on the fine level.
FINE_BELOW = 38.0
# Near that limit the other level is neither taught to find them nor not to.
BOTH_LEVELS_SHARE = 1.25
# Cells this many strides around a vehicle's middle answer for it.
RADIUS = 1.5
NOTHING, IGNORED = -1, -2
NMS_IOU = 0.6
EPSILON = 1e-3


# --- the network, written once for training (Jax) and for the file (Onnx) ------------------------------------------


def network(ops, picture):
    """`ops` knows how to add layers; tensors are whatever it works on."""

    def residual(name, x, channels):
        y = ops.conv(f"{name}a", x, channels)
        return ops.relu(ops.add(x, ops.conv(f"{name}b", y, channels, relu=False)))

    x = ops.conv("stem", picture, 16, stride=2)
    x = ops.conv("down4", x, 24, stride=2)
    x = ops.conv("down8", x, 32, stride=2)
    fine = residual("fine", x, 32)
    x = ops.conv("down16", fine, 48, stride=2)
    x = residual("coarse1", x, 48)
    coarse = residual("coarse2", x, 48)
    # What surrounds a small vehicle tells what it is.
    fine = ops.add(fine, ops.upsample(ops.conv("lateral", coarse, 32, kernel=1)))
    fine = ops.conv("merge", fine, 32)
    heads = []
    for name, x, channels in (("head8", fine, 32), ("head16", coarse, 40)):
        x = ops.conv(name, x, channels)
        heads.append(ops.head(f"{name}_out", x))
    return ops.join(heads)


class Jax:
    """Layers on arrays [batch, height, width, channel]; batch normalisation from the batch or from `statistics`."""

    def __init__(self, parameters, statistics=None):
        self.parameters, self.statistics, self.seen = parameters, statistics, {}

    def convolve(self, x, weights, stride):
        pad = weights.shape[0] // 2
        return jax.lax.conv_general_dilated(
            x, weights, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def conv(self, name, x, channels, kernel=3, stride=1, relu=True):
        layer = self.parameters[name]
        x = self.convolve(x, layer["weights"], stride)
        if self.statistics is None:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.seen[name] = (mean, variance)
        else:
            mean, variance = self.statistics[name]
        x = (x - mean) * (layer["scale"] * jax.lax.rsqrt(variance + EPSILON)) + layer["shift"]
        return jax.nn.relu(x) if relu else x

    def head(self, name, x):
        layer = self.parameters[name]
        x = self.convolve(x, layer["weights"], 1) + layer["shift"]
        return x.reshape(x.shape[0], -1, x.shape[-1])

    def join(self, heads):
        return jnp.concatenate(heads, axis=1)

    def upsample(self, x):
        return x.repeat(2, axis=1).repeat(2, axis=2)

    add = staticmethod(jnp.add)
    relu = staticmethod(jax.nn.relu)


class Initial(Jax):
    """Makes the parameters on the way."""

    def __init__(self, rng):
        super().__init__({})
        self.rng = rng

    def normal(self, kernel, channels_in, channels):
        deviation = np.sqrt(2.0 / (kernel * kernel * channels_in))
        shape = (kernel, kernel, channels_in, channels)
        return jnp.asarray(self.rng.normal(0.0, deviation, shape), jnp.float32)

    def conv(self, name, x, channels, kernel=3, stride=1, relu=True):
        # The second half of a residual block begins as nothing, so that the block begins as the identity.
        scale = 0.0 if name.endswith("b") and not relu else 1.0
        self.parameters[name] = {
            "weights": self.normal(kernel, x.shape[-1], channels),
            "scale": jnp.full(channels, scale, jnp.float32),
            "shift": jnp.zeros(channels, jnp.float32),
        }
        return super().conv(name, x, channels, kernel, stride, relu)

    def head(self, name, x):
        shift = np.zeros(5 + len(CLASSES), np.float32)
        # Almost all cells show nothing.
        shift[4] = -4.0
        weights = self.normal(1, x.shape[-1], len(shift)) * 0.1
        self.parameters[name] = {"weights": weights, "shift": jnp.asarray(shift)}
        return super().head(name, x)


class Onnx:
    """Layers as nodes of a file, batch normalisation folded into the weights, which are stored in half precision."""

    def __init__(self, parameters, statistics):
        self.parameters, self.statistics = parameters, statistics
        self.nodes, self.weights, self.count = [], [], 0

    def node(self, kind, inputs, **attributes):
        self.count += 1
        output = f"{kind.lower()}{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name, array):
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def half(self, name, array):
        return self.node("Cast", [self.constant(name, np.asarray(array, np.float16))], to=TensorProto.FLOAT)

    def convolution(self, name, x, weights, shift, stride):
        kernel = weights.shape[0]
        inputs = [x, self.half(f"{name}.weights", weights.transpose(3, 2, 0, 1)), self.half(f"{name}.shift", shift)]
        return self.node(
            "Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4
        )

    def conv(self, name, x, channels, kernel=3, stride=1, relu=True):
        layer = self.parameters[name]
        mean, variance = (np.asarray(part, np.float64) for part in self.statistics[name])
        factor = np.asarray(layer["scale"], np.float64) / np.sqrt(variance + EPSILON)
        weights = np.asarray(layer["weights"], np.float64) * factor
        if name == "stem":
            weights /= 255.0
        shift = np.asarray(layer["shift"], np.float64) - mean * factor
        x = self.convolution(name, x, weights, shift, stride)
        return self.relu(x) if relu else x

    def head(self, name, x):
        layer = {key: np.asarray(value) for key, value in self.parameters[name].items()}
        x = self.convolution(name, x, layer["weights"], layer["shift"], 1)
        shape = self.constant(f"{name}.shape", np.array([1, 5 + len(CLASSES), -1], np.int64))
        return self.node("Reshape", [x, shape])

    def join(self, heads):
        x = self.node("Transpose", [self.node("Concat", heads, axis=2)], perm=[0, 2, 1])
        parts = self.constant("parts", np.array([4, 1 + len(CLASSES)], np.int64))
        self.nodes.append(helper.make_node("Split", [x, parts], ["boxes", "scores"], name="split", axis=2))
        scores = self.node("Sigmoid", ["scores"])
        self.nodes.append(helper.make_node("Concat", ["boxes", scores], ["output"], name="join", axis=2))
        return "output"

    def upsample(self, x):
        scales = self.constant("twice", np.array([1, 1, 2, 2], np.float32))
        return self.node(
            "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    def add(self, x, y):
        return self.node("Add", [x, y])

    def relu(self, x):
        return self.node("Relu", [x])

    def save(self, path):
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
        output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CELLS, 5 + len(CLASSES)])
        network(self, "images")
        graph = helper.make_graph(self.nodes, "junction", [images], [output], self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="junction-model"
        )
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


# --- frames and what each cell should say ---------------------------------------------------------------------------


def grid():
    """Of each cell: left, top and stride."""
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[0 : HEIGHT // stride, 0 : WIDTH // stride]
        rows.append(np.stack([x.ravel() * stride, y.ravel() * stride, np.full(x.size, stride)], 1))
    return np.concatenate(rows).astype(np.float32)


GRID = grid()


def load(folder):
    """Names, pictures [frames, height, width, 3] as the gateway would resize them, and boxes of each frame."""
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    pictures = np.empty((len(names), HEIGHT, WIDTH, 3), np.uint8)
    truths = []
    for index, name in enumerate(names):
        with Image.open(folder / "images" / f"{name}.jpg") as image:
            pictures[index] = np.asarray(image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        lines = [line.split() for line in (folder / "labels" / f"{name}.txt").read_text().splitlines()]
        rows = np.array(lines, np.float32).reshape(-1, 5)
        centre, half = rows[:, 1:3] * (WIDTH, HEIGHT), rows[:, 3:5] * (WIDTH / 2, HEIGHT / 2)
        truths.append((rows[:, 0].astype(np.int8), np.concatenate([centre - half, centre + half], 1)))
    return names, pictures, truths


def targets(truth):
    """Of each cell: its class (or NOTHING, IGNORED) and its box."""
    classes, boxes = np.full(CELLS, NOTHING, np.int8), np.zeros((CELLS, 4), np.float32)
    middle, stride = GRID[:, :2] + GRID[:, 2:] / 2, GRID[:, 2]
    side = np.sqrt((truth[1][:, 2] - truth[1][:, 0]) * (truth[1][:, 3] - truth[1][:, 1]))
    # Small ones last: of two that claim a cell the smaller gets it.
    for index in np.argsort(-side, kind="stable"):
        label, box = truth[0][index], truth[1][index]
        away = np.abs(middle - (box[:2] + box[2:]) / 2).max(1)
        within = ((middle > box[:2]) & (middle < box[2:])).all(1) & (away < RADIUS * stride)
        # A vehicle smaller than a cell may have no cell's middle within it.
        within |= away <= stride / 2
        own = stride == (STRIDES[0] if side[index] < FINE_BELOW else STRIDES[1])
        if FINE_BELOW / BOTH_LEVELS_SHARE < side[index] < FINE_BELOW * BOTH_LEVELS_SHARE:
            classes[within & ~own & (classes == NOTHING)] = IGNORED
        classes[within & own], boxes[within & own] = label, box
    return classes, boxes


# --- training ---------------------------------------------------------------------------------------------------------


def corners(raw):
    """Boxes as the gateway decodes them, in pixels of the input."""
    centre = raw[..., :2] * GRID[:, 2:] + GRID[:, :2]
    half = jnp.exp(jnp.minimum(raw[..., 2:4], 6.0)) * GRID[:, 2:] / 2
    return jnp.concatenate([centre - half, centre + half], -1)


def overlaps(one, other):
    """Intersection over union, and the same less the empty share of the box around both (GIoU)."""
    sides = lambda box: jnp.maximum(box[..., 2:] - box[..., :2], 1e-6)
    common = jnp.maximum(
        jnp.minimum(one[..., 2:], other[..., 2:]) - jnp.maximum(one[..., :2], other[..., :2]), 0.0
    ).prod(-1)
    union = sides(one).prod(-1) + sides(other).prod(-1) - common
    around = (jnp.maximum(one[..., 2:], other[..., 2:]) - jnp.minimum(one[..., :2], other[..., :2])).prod(-1)
    iou = common / union
    return iou, iou - (around - union) / jnp.maximum(around, 1e-6)


def cross_entropy(logits, target):
    return jnp.maximum(logits, 0.0) - logits * target + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def loss(parameters, pictures, classes, boxes):
    ops = Jax(parameters)
    raw = network(ops, pictures.astype(jnp.float32) / 255.0)
    found = (classes >= 0).astype(jnp.float32)
    count = jnp.maximum(found.sum(), 1.0)
    boxes = jnp.where(found[..., None] > 0, boxes, jnp.array([0.0, 0.0, 8.0, 8.0]))
    iou, giou = overlaps(corners(raw), boxes)
    sides = (boxes[..., 2:] - boxes[..., :2]) / GRID[:, 2:]
    centres = ((boxes[..., :2] + boxes[..., 2:]) / 2 - GRID[:, :2]) / GRID[:, 2:]
    wanted = jnp.concatenate([centres, jnp.log(sides)], -1)
    box = (found * (2.0 * (1.0 - giou) + jnp.abs(raw[..., :4] - wanted).sum(-1))).sum()
    objectness = ((classes != IGNORED) * cross_entropy(raw[..., 4], found)).sum()
    # The score says how well the box fits too.
    one_hot = jax.nn.one_hot(classes, len(CLASSES)) * jax.lax.stop_gradient(iou.clip(0.0, 1.0))[..., None]
    label = (found[..., None] * cross_entropy(raw[..., 5:], one_hot)).sum()
    return (box + objectness + label) / count


def adam(parameters, gradients, first, second, averaged, step, steps):
    warm_up = 200.0
    falling = 0.5 + 0.5 * jnp.cos(jnp.pi * jnp.minimum(step / steps, 1.0))
    rate = PEAK_RATE * jnp.minimum(step / warm_up, falling) + 1e-6
    norm = jnp.sqrt(sum((gradient**2).sum() for gradient in jax.tree.leaves(gradients)))
    gradients = jax.tree.map(lambda gradient: gradient * jnp.minimum(1.0, 20.0 / (norm + 1e-6)), gradients)
    first = jax.tree.map(lambda mean, gradient: 0.9 * mean + 0.1 * gradient, first, gradients)
    second = jax.tree.map(lambda mean, gradient: 0.999 * mean + 0.001 * gradient**2, second, gradients)

    def move(value, mean, square):
        mean, square = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        return value - rate * (mean / (jnp.sqrt(square) + 1e-8) + WEIGHT_DECAY * value * (value.ndim > 1))

    parameters = jax.tree.map(move, parameters, first, second)
    keep = jnp.minimum(0.998, step / (step + 10.0))
    averaged = jax.tree.map(lambda mean, value: keep * mean + (1 - keep) * value, averaged, parameters)
    return parameters, first, second, averaged


@jax.jit
def train_step(state, pictures, classes, boxes, step, steps):
    value, gradients = jax.value_and_grad(loss)(state[0], pictures, classes, boxes)
    return adam(state[0], gradients, *state[1:], step, steps), value


@jax.jit
def batch_statistics(parameters, pictures):
    ops = Jax(parameters)
    network(ops, pictures.astype(jnp.float32) / 255.0)
    return ops.seen


@jax.jit
def predict(parameters, statistics, pictures):
    raw = network(Jax(parameters, statistics), pictures.astype(jnp.float32) / 255.0)
    return jnp.concatenate([raw[..., :4], jax.nn.sigmoid(raw[..., 4:])], -1)


def train(pictures, truths, steps):
    """Averaged parameters, and the statistics of their batch normalisation."""
    rng = np.random.default_rng(SEED)
    initial = Initial(rng)
    network(initial, jnp.zeros((1, HEIGHT, WIDTH, 3)))
    classes, boxes = map(np.stack, zip(*map(targets, truths)))
    nothing = jax.tree.map(jnp.zeros_like, initial.parameters)
    state = (initial.parameters, nothing, nothing, initial.parameters)
    order, losses, start = [], [], time.monotonic()
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order = list(rng.permutation(len(pictures)))
        batch = [order.pop() for _ in range(BATCH)]
        state, value = train_step(state, pictures[batch], classes[batch], boxes[batch], float(step), float(steps))
        losses.append(float(value))
        if step % 100 == 0 or step == steps:
            print(f"step {step}/{steps}  loss {np.mean(losses[-100:]):.3f}  {time.monotonic() - start:.0f} s", flush=True)
    averaged, batches = state[3], 24
    total = None
    for _ in range(batches):
        batch = rng.choice(len(pictures), BATCH, replace=False)
        seen = batch_statistics(averaged, pictures[batch])
        total = seen if total is None else jax.tree.map(jnp.add, total, seen)
    return averaged, jax.tree.map(lambda sum_of_all: sum_of_all / batches, total)


# --- measuring ----------------------------------------------------------------------------------------------------------


def iou_matrix(one, other):
    right_bottom = np.minimum(one[:, None, 2:], other[None, :, 2:])
    left_top = np.maximum(one[:, None, :2], other[None, :, :2])
    common = np.maximum(right_bottom - left_top, 0).prod(-1)
    area = lambda box: (box[:, 2:] - box[:, :2]).prod(-1)
    return common / np.maximum(area(one)[:, None] + area(other)[None] - common, 1e-9)


def detections(cells, least=0.02):
    """Classes, scores and boxes after suppression across classes, as the gateway reads the output."""
    label = cells[:, 5:].argmax(1)
    score = cells[:, 4] * cells[np.arange(len(cells)), 5 + label]
    keep = np.flatnonzero(score >= least)
    keep = keep[np.argsort(-score[keep], kind="stable")]
    boxes = np.asarray(corners(cells[None]))[0][keep]
    boxes = boxes.clip(0, [WIDTH, HEIGHT] * 2)
    overlap, chosen = iou_matrix(boxes, boxes), []
    for index in range(len(keep)):
        if all(overlap[index, other] <= NMS_IOU for other in chosen):
            chosen.append(index)
    return label[keep][chosen], score[keep][chosen], boxes[chosen]


def average_precision(found, truths, label, least_iou):
    """Area under precision over recall, for one class."""
    rows, count = [], 0
    for (labels, scores, boxes), (true_labels, true_boxes) in zip(found, truths):
        boxes, scores, true_boxes = boxes[labels == label], scores[labels == label], true_boxes[true_labels == label]
        count += len(true_boxes)
        overlap, taken = iou_matrix(boxes, true_boxes), np.zeros(len(true_boxes), bool)
        for index, score in enumerate(scores):
            free = np.where(taken, 0.0, overlap[index])
            hit = len(free) > 0 and free.max() >= least_iou
            if hit:
                taken[free.argmax()] = True
            rows.append((score, hit))
    hits = np.array([hit for _, hit in sorted(rows, key=lambda row: -row[0])], float)
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * hits).sum() / max(count, 1)), count


def measure(path, names, pictures, truths):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs, times = [], []
    for picture in pictures:
        images = picture.transpose(2, 0, 1)[None].astype(np.float32)
        start = time.perf_counter()
        outputs.append(session.run(None, {"images": images})[0][0])
        times.append(time.perf_counter() - start)
    found = [detections(cells) for cells in outputs]
    for view in ("north", "south"):
        chosen = [index for index, name in enumerate(names) if name.startswith(view)]
        of_view = [found[index] for index in chosen], [truths[index] for index in chosen]
        classes = range(len(CLASSES))
        ap50 = [average_precision(*of_view, label, 0.5) for label in classes]
        levels = np.arange(0.5, 0.96, 0.05)
        all_levels = np.mean([average_precision(*of_view, label, level)[0] for label in classes for level in levels])
        each = ", ".join(f"{CLASSES[label]} {ap:.3f} of {count}" for label, (ap, count) in enumerate(ap50))
        print(f"{view}: AP50 {np.mean([ap for ap, _ in ap50]):.3f} ({each}), AP50:95 {all_levels:.3f}")
        for least in (0.3, 0.4, 0.5):
            hits = wrong = total = 0
            for (labels, scores, boxes), (true_labels, true_boxes) in zip(*of_view):
                sure = scores >= least
                same = labels[sure][:, None] == true_labels[None]
                good = (iou_matrix(boxes[sure], true_boxes) >= 0.5) & same
                hits += int(good.any(0).sum()) if good.size else 0
                wrong += int(sure.sum()) - (int(good.any(1).sum()) if good.size else 0)
                total += len(true_labels)
            print(f"  score {least}: {hits} of {total} vehicles found, {wrong} false boxes in {len(chosen)} frames")
    print(f"inference: median {np.median(times) * 1e3:.1f} ms on one core")
    return np.stack(outputs)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--train", type=pathlib.Path, required=True)
    arguments.add_argument("--held-out", type=pathlib.Path, required=True)
    arguments.add_argument("--steps", type=int, default=3000)
    arguments.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = arguments.parse_args()

    _, pictures, truths = load(arguments.train)
    print(f"{len(pictures)} frames to train on, {sum(len(labels) for labels, _ in truths)} vehicles", flush=True)
    parameters, statistics = train(pictures, truths, arguments.steps)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "junction.onnx"
    Onnx(parameters, statistics).save(path)
    (arguments.out / "labels.txt").write_text("".join(f"{label}\n" for label in CLASSES))

    names, pictures, truths = load(arguments.held_out)
    outputs = measure(path, names, pictures, truths)
    expected = np.asarray(predict(parameters, statistics, pictures[:32]))
    difference = np.abs(expected - outputs[:32])
    scores, boxes = difference[..., 4:].max(), difference[..., :4].max()
    print(f"weights in half precision change scores by at most {scores:.4f}, boxes by {boxes:.4f} of a cell")
    print(f"{path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
