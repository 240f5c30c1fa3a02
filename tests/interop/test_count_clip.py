"""Four cars of a real clip, whose crossings were counted by eye (TRUTH.md beside it)."""

from pathlib import Path

import pytest

import road_clip
from road_clip import RATE, STEPS, WAYS


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of the clip."""
    return road_clip.extract(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("rate", STEPS)
@pytest.mark.parametrize("way", WAYS)
def test_all_four_cars_count(clip: Path, tmp_path: Path, way: str, rate: str) -> None:
    """By what moves alone, and by everything that a model sees whatever it calls it."""
    counted = road_clip.count(clip, tmp_path, WAYS[way], STEPS[rate])
    assert counted.is_right, counted
    assert counted.off <= WAYS[way].slack, counted


def test_vehicles_that_the_model_does_not_know_are_unexplained_motion(clip: Path, tmp_path: Path) -> None:
    """From above, most of the cars pass for other things. The pictures are judged as a gateway judges frames, and counted."""
    assert road_clip.causes_as_judged(clip, tmp_path) == ["unexplained_motion"]
    assert road_clip.causes_as_counted(clip, tmp_path) == ["unexplained_motion"]


def test_nothing_is_wrong_with_the_camera_of_the_clip(clip: Path) -> None:
    """A bright car that halves the exposure of the background is no fault."""
    for rate in [RATE, 4.0, 30.0]:
        assert road_clip.causes_of_pictures(clip, rate) == [], rate
