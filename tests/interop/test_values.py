"""Values as devices write them, through the codecs of a configuration; and what is said of those that are refused."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from programs import verge

HEAD = '[gateway]\nid = "values"\nstate_dir = "state"\n[local]\nurl = "mqtt://localhost:1883"\n'
JUDGE = '[judge.each]\ninputs = ["s"]\ndetector = "threshold"\nupdate_every = "1ms"\nseverity = "info"\n'
LEVEL = '[[source.s.reading]]\npointer = "/level"\n'
TAGS = '[[source.s.reading]]\npointer = "/tags/*"\n'
AT = 'time = {{ pointer = "/at", format = "auto"{zone} }}\n'
VIENNA = AT.format(zone=', zone = "Europe/Vienna"')


def judged(
    folder: Path, source: str, *payloads: bytes, above: float = -1e300
) -> tuple[list[tuple[float, str | None]], str]:
    """What was judged of messages, as value and time, and what was said of them."""
    (folder / "gateway.toml").write_text(HEAD + f'[source.s]\ntopic = "tanks/+"\ndevice = "topic:1"\n{source}' + JUDGE + f"above = {above!r}\n")
    lines = [
        json.dumps({"tst": f"2026-07-01T12:00:{second:02}Z", "topic": "tanks/t1", "payload_base64": base64.b64encode(payload).decode()})
        for second, payload in enumerate(payloads)
    ]
    (folder / "messages.jsonl").write_text("\n".join(lines))
    words = [verge(), "judge", "-c", "gateway.toml", "each", "messages.jsonl"]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    verdicts = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    read = [(one["anomaly"]["observed"], one.get("captured")) for one in verdicts if "anomaly" in one]
    return read, run.stderr


JSON = 'codec = "json"\n'
NUMBER = 'codec = "number"\nsignal = "level"\n'


@pytest.mark.parametrize(
    ("source", "payload", "value"),
    [
        (JSON + LEVEL, b'{"level":"12.75"}', 12.75),
        (JSON + LEVEL, b'{"level":"off"}', 0.0),
        (JSON + 'words = { "OPEN" = 3.0 }\n' + LEVEL, b'{"level":"Open"}', 3.0),
        (JSON + 'words = { "OPEN" = 3.0 }\n' + LEVEL + 'words = { "open" = 4.0 }\n', b'{"level":"OPEN"}', 4.0),
        (JSON + 'decimal = ","\n' + LEVEL, b'{"level":"-0,25"}', -0.25),
        (JSON + LEVEL, b'\xef\xbb\xbf{"level":12.75}\r\n\0', 12.75),
        (JSON + LEVEL, b'{"other":-inf,"level":12.75}', 12.75),
        (JSON + LEVEL, b'{"type":"Buffer","data":[123,34,108,101,118,101,108,34,58,55,125]}', 7.0),
        (JSON + '[[source.s.reading]]\npointer = "/data/level"\n', b'{"data":"{\\"level\\":12.75}"}', 12.75),
        (NUMBER + 'decimal = ","\n', b"12,75", 12.75),
        (NUMBER + 'unit = "mm"\n', b"12.75 mm", 12.75),
        (NUMBER, b'"ON"', 1.0),
        ('codec = "line"\n', b"tank level=nan,volume=12.75", 12.75),
        ('codec = "senml"\n', b'[{"n":"level","v":"12.75"},{"n":"x","v":NaN}]', 12.75),
    ],
)
def test_a_value_is_read(tmp_path: Path, source: str, payload: bytes, value: float) -> None:
    read, said = judged(tmp_path, source, payload)
    assert [one for one, _ in read] == [value], said


@pytest.mark.parametrize(
    ("source", "payload", "words"),
    [
        (NUMBER, b"12,75", ["not_a_number", "5 bytes", "`12,75`", 'a decimal comma (decimal = ","']),
        (NUMBER, b"12.75 kPa", ["not_a_number", "a number with a unit"]),
        (NUMBER, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["not_utf8", "89 50 4e 47", "a PNG"]),
        (NUMBER, b'{"level":12.75}', ["not_a_number", 'JSON (codec = "json"']),
        (NUMBER, b"\x1b[31mred", ["not_a_number", "1b 5b 33"]),
        (JSON + LEVEL, b'{"level":12,75}', ["bad_json", "a decimal comma in JSON"]),
        (JSON + LEVEL, b'{"level":12.75', ["bad_json", "JSON that is cut off"]),
        (JSON + LEVEL, b"{'level': 12.75}", ["bad_json", "single quotation marks"]),
        (JSON + LEVEL, b'{"level":"shut"}', ["not_a_number at /level", '`"shut"`', "a word (words = {"]),
        (JSON + TAGS, b'{"tags":{"T1":1,"T40":"shut"}}', ["not_a_number at /tags/*", 'T40 `"shut"`']),
        (JSON + LEVEL, b"version https://git-lfs.github.com/spec/v1\n", ["bad_json", "a Git LFS pointer"]),
        (JSON + AT.format(zone="") + LEVEL, b'{"at":"2026-07-01T14:00:00","level":1}', ["bad_time at /at", "time.zone"]),
    ],
)
def test_a_refusal_shows_what_came(tmp_path: Path, source: str, payload: bytes, words: list[str]) -> None:
    _, said = judged(tmp_path, source, payload)
    assert [word for word in words if word not in said] == [], said
    assert "\x1b[31m" not in said


def test_local_time_has_its_zone(tmp_path: Path) -> None:
    payloads = [b'{"at":"2026-07-01T14:00:00","level":1}', b'{"at":"2026-07-01 14:00:01.5","level":2}']
    read, said = judged(tmp_path, JSON + VIENNA + LEVEL, *payloads)
    assert read == [(1.0, "2026-07-01T12:00:00.000Z"), (2.0, "2026-07-01T12:00:01.500Z")], said


@pytest.mark.parametrize(
    ("time", "value", "payload"),
    [
        ("/*/at", "/*/level", b'[{"at":1782906900,"level":9},{"at":1782907200,"level":"1"}]'),
        ("/rows/*/0", "/rows/*/1", b'{"rows":[[1782906900000,9],["1782907200000",1]]}'),
        ("/at/*", "/level/*", b'{"level":[9,1],"at":["2026-07-01T11:55:00Z",1782907200]}'),
    ],
)
def test_each_sample_of_a_message_has_its_own_time(tmp_path: Path, time: str, value: str, payload: bytes) -> None:
    source = JSON + f'time = {{ pointer = "{time}", format = "auto" }}\n[[source.s.reading]]\npointer = "{value}"\nsignal = "level"\n'
    read, said = judged(tmp_path, source, payload, above=5.0)
    assert read == [(9.0, "2026-07-01T11:55:00.000Z"), (1.0, "2026-07-01T12:00:00.000Z")], said
