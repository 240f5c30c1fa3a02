"""The interface of the dashboard by its own OpenAPI document: a foreign tester that makes requests of it, each operation with
each role, and what its operations do."""

import json
import re
import subprocess
import sys

import pytest

from gateway import Gateway
from programs import REPOSITORY
from scene import Scene
from test_dashboard import PASSWORD, ROLES, Answer, Browser, add, dashboard, pressure, start, token
from waiting import wait_for

# Streams never end: the tester would wait for them.
ENDLESS, DOCUMENT = "/api/v1/stream", "/api/v1/openapi.json"
EXAMPLES = 25
# What a schema cannot say: a stale If-Match (412), a cursor that is not in the list (410), a range that ends before it begins, a
# name of at most 128 bytes.
WITHOUT = "positive_data_acceptance"
# Several of its threads at once break Python's parser within the phase that walks through the schemas.
WORKERS = {"coverage": "1", "fuzzing": "4"}
RANK = {role: rank for rank, role in enumerate(ROLES)}


def served(scene: Scene) -> tuple[Gateway, dict[str, Browser]]:
    """A gateway at work, and a program of each role."""
    gateway, anyone = dashboard(scene, pictures="viewer")
    for role in ROLES:
        add(gateway, role, role)
    tokens = {role: token(gateway, role) for role in ROLES}
    start(scene, gateway)
    return gateway, {role: Browser(anyone.port, token=tokens[role]) for role in ROLES}


def put(program: Browser, method: str, path: str, body: object = None, **headers: str) -> Answer:
    text = "" if body is None else json.dumps(body)
    return program.ask(method, path, text, Content_Type="application/json", **headers)


def operations(document: dict) -> list[tuple[str, str, dict]]:
    return [
        (verb.upper(), path, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    ]


@pytest.mark.parametrize("phase", ["coverage", "fuzzing"])
def test_a_foreign_tester_finds_nothing_in_the_interface(scene: Scene, phase: str) -> None:
    gateway, programs = served(scene)
    pressure(scene, "8.25")
    admin = programs["admin"]
    wait_for(lambda: admin.get("/api/v1/events").json()["events"], "an event is open")
    # RFC 6585 has a status of its own for a precondition that is missing.
    (scene.folder / "schemathesis.toml").write_text(
        "[checks]\nmissing_required_header.expected-statuses = [401, 403, 422, 428]\n"
    )
    command = [
        f"{sys.prefix}/bin/schemathesis", "run", f"http://{admin.host}:{admin.port}/api/v1/openapi.json",
        "--header", f"Authorization: Bearer {admin.token}", "--max-examples", str(EXAMPLES), "--exclude-path", ENDLESS,
        "--exclude-checks", WITHOUT, "--phases", phase, "--generation-database", "none",
        "--seed", "7", "--workers", WORKERS[phase], "--max-time", "25", "--no-color", "--continue-on-failure",
        "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=scene.folder, check=False)
    assert done.returncode == 0, done.stdout[:12_000] + done.stderr[-2_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    # Every operation but the stream, which does not end, and the document itself, which the tester leaves out.
    document = admin.get(DOCUMENT).json()
    expected = sum(path not in (ENDLESS, DOCUMENT) for _, path, _ in operations(document))
    assert tested and int(tested[1]) == expected, done.stdout[-3_000:]
    # It goes on as if nothing had been.
    assert admin.get("/api/v1/status").status == 200


def test_each_operation_is_for_the_roles_that_its_document_names(scene: Scene) -> None:
    _, programs = served(scene)
    anyone = Browser(programs["admin"].port)
    document = programs["viewer"].get("/api/v1/openapi.json").json()
    assert document == json.loads((REPOSITORY / "docs" / "openapi.json").read_text())
    for verb, path, operation in operations(document):
        if path == ENDLESS:
            continue
        filled = re.sub(r"\{\w+\}", "none", path)
        assert put(anyone, verb, filled).status == 401, (verb, path)
        for role in ROLES:
            # A token that is refused before anything is read changes nothing; the others are refused for their body.
            status = put(programs[role], verb, filled, [] if verb != "GET" else None, X_Role=role).status
            allowed = RANK[role] >= RANK[operation["x-verge-role"]]
            assert (status not in (401, 403)) if allowed else (status == 403), (verb, path, role, status)
            if allowed:
                assert str(status) in operation["responses"], (verb, path, role, status)


def test_operations_do_what_they_say(scene: Scene) -> None:
    receiver = scene.receiver()
    gateway, programs = served(scene)
    viewer, operator, admin = (programs[role] for role in ROLES)
    pressure(scene, "8.25")
    wait_for(lambda: viewer.get("/api/v1/judges").json()["judges"][0]["open"] == 1, "the judge has an open event")
    (source,) = viewer.get("/api/v1/sources").json()["sources"]
    assert (source["name"], source["carries"], source["status"]["received"]) == ("pump", "readings", 1)
    assert source["settings"]["codec"] == '"number"'
    assert viewer.get("/api/v1/models").json()["models"] == []

    # Written only as it was seen.
    (event,) = viewer.get("/api/v1/events").json()["events"]
    path = f"/api/v1/events/{event['id']}"
    tag = viewer.get(path).headers["etag"]
    assert put(operator, "PUT", path + "/acknowledgement", {}, If_Match=tag).status == 200
    wait_for(lambda: viewer.get(path).headers["etag"] != tag, "it is another now")
    stale = put(operator, "PUT", path + "/shelving", {"minutes": 5}, If_Match=tag)
    assert (stale.status, stale.json()["type"]) == (412, "changed")

    # Maintenance, from its begin to its end.
    assert put(operator, "POST", "/api/v1/maintenance", {"device": "pump-1", "minutes": 60}).status == 200
    wait_for(lambda: len(viewer.get("/api/v1/maintenance").json()["windows"]) == 1, "the window is open")
    (window,) = viewer.get("/api/v1/maintenance").json()["windows"]
    assert (window["kind"], window["device"]) == ("maintenance", "pump-1")
    assert put(operator, "DELETE", f"/api/v1/maintenance/{window['id']}").status == 200
    wait_for(lambda: viewer.get("/api/v1/maintenance").json()["windows"] == [], "it is over")
    unknown = put(operator, "POST", "/api/v1/maintenance", {"device": "pump-1", "judge": "nobody", "minutes": 5})
    assert unknown.status in (404, 409), unknown.text

    # A label, and a range that is sent once more.
    wait_for(lambda: receiver.messages(), "verdicts arrive")
    label = put(operator, "POST", "/api/v1/labels", {"device": "pump-1", "judge": "high", "remark": "real"})
    assert label.status == 200 and label.json()["ok"], label.text
    (route,) = viewer.get("/api/v1/status").json()["routes"]
    before = len(receiver.messages())
    body = {"lane": "alarm", "from": 1, "to": 1}
    replay = put(operator, "POST", f"/api/v1/routes/{route['name']}/replay", body)
    assert replay.json() == {"ok": True, "from": 1, "to": 1, "queued": 1}
    wait_for(lambda: len(receiver.messages()) > before, "it comes again")
    missing = put(operator, "POST", "/api/v1/routes/nowhere/replay", body)
    assert missing.status == 404 and route["name"] in missing.json()["detail"]

    # All faults at once.
    faults = put(operator, "POST", "/api/v1/maintenance", {"minutes": 0, "device": "", "odd": 1}).json()["faults"]
    assert [fault["pointer"] for fault in faults] == ["/device", "/minutes", "/odd"]
    wrong = put(operator, "PATCH", "/api/v1/maintenance")
    assert (wrong.status, wrong.headers["allow"], wrong.json()["type"]) == (405, "GET,HEAD,POST", "method")
    assert admin.get("/api/v1/events?limit=0&odd=1").json()["faults"][1]["pointer"] == "?odd"


def test_a_configuration_is_shown_checked_and_taken_up(scene: Scene) -> None:
    gateway, programs = served(scene)
    admin = programs["admin"]
    shown = admin.get("/api/v1/configuration").json()
    settings = {
        f"{section['path']}.{setting['key']}": setting
        for section in shown["sections"]
        for setting in section["settings"]
    }
    above = settings["judge.high.above"]
    lines = gateway.configuration.read_text().splitlines()
    assert above["origin"] == "file" and lines[above["line"] - 1].startswith("above")
    assert settings["gateway.replay_age"]["origin"] == "default"

    # The command says the same.
    done = gateway.run("--json", "config", "show", "-c", str(gateway.configuration))
    assert json.loads(done.stdout)["sections"] == shown["sections"], done.stderr
    words = gateway.run("config", "show", "--origin", "-c", str(gateway.configuration)).stdout
    assert re.search(rf"^above = 7\.5 +# file, line {above['line']}$", words, re.MULTILINE), words
    assert re.search(r"^replay_age = .* # default$", words, re.MULTILINE), words

    def check(text: str) -> dict:
        return admin.ask("POST", "/api/v1/configuration/check", text, Content_Type="application/toml").json()

    assert check(gateway.configuration.read_text())["ok"]
    broken = check(gateway.configuration.read_text().replace("above = 7.5", 'above = "7.5"\nodd = 1'))
    assert not broken["ok"] and {fault["key"] for fault in broken["faults"]} == {"judge.high.above", "judge.high.odd"}
    huge = admin.ask("POST", "/api/v1/configuration/check", "#" * 2_000_000, Content_Type="application/toml")
    assert huge.status == 413

    gateway.settings["judge"]["high"]["above"] = 9.5
    gateway.write()
    dry = put(admin, "POST", "/api/v1/reload?dry_run=true").json()
    assert dry["outcome"] == "would_reload" and dry["changed"][0]["key"] == "judge.high.above", dry
    assert admin.get("/api/v1/configuration").json() == shown
    assert put(admin, "POST", "/api/v1/reload").json()["outcome"] == "reloaded"
    wait_for(lambda: "9.5" in admin.get("/api/v1/configuration").text, "it is at work")
    assert admin.get("/api/v1/judges").json()["judges"][0]["settings"]["above"] == "9.5"
    assert "dashboard: admin" in gateway.whole_log()

    gateway.settings["gateway"]["id"] = "another"
    gateway.write()
    refused = put(admin, "POST", "/api/v1/reload")
    assert (refused.status, refused.json()["type"]) == (409, "needs_restart")
    assert refused.json()["report"]["keys"][0]["key"] == "gateway.id"
    gateway.configuration.write_text("[gateway]\nid = 1\n")
    faulty = put(admin, "POST", "/api/v1/reload")
    assert (faulty.status, faulty.json()["type"]) == (422, "faulty_configuration")
    assert PASSWORD not in admin.get("/api/v1/configuration").text
