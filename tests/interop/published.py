"""What the real models reach on the real pictures by reference pipelines, and how near the gateway must come."""

from dataclasses import dataclass

from scoring import Accuracy, Precision


@dataclass(frozen=True)
class Published:
    """Top-1 and top-5 on all 111 pictures as the reference pipeline reaches them, and how near the gateway must come.

    Decoder and resizer are others than the reference's: pixels differ by one here and there, and the smaller the
    model, the more often that turns the answer.
    """

    accuracy: Accuracy
    # Pictures by which top-1 and top-5 may differ, and the least share of pictures with the same best class.
    pictures: int
    same: float


CLASSIFIERS = {
    "mobilenet_v2_1.0_224_quant": Published(Accuracy(0.8649, 0.9730), 1, 0.97),
    "tf2_mobilenet_v2_1.0_224_ptq": Published(Accuracy(0.8919, 1.0), 1, 0.97),
    "mobilenet_v1_0.75_192_quant": Published(Accuracy(0.7928, 0.9369), 1, 0.97),
    "mobilenet_v1_0.25_128_quant": Published(Accuracy(0.4685, 0.7748), 2, 0.85),
}
# What the traffic pictures call a vehicle.
VEHICLES = ("car", "motorbike", "bus", "truck")
PRECISION_MARGIN = 0.01
# Of FastestDet's COCO figures, .188 is that of boxes that reach beyond the picture. Cut at its border, as everywhere
# here, the boxes of the same decode in numpy reach .214; AP50 is the same for both.
DETECTORS = {
    "yolox_nano": {"coco": Precision(0.345, 0.520), "traffic": Precision(0.425, 0.767)},
    "FastestDet": {"coco": Precision(0.214, 0.378), "traffic": Precision(0.199, 0.476)},
}
