# Everyday commands. `just` lists them; .ci/run is what decides.

venv := "target/venv"
python := venv / "bin/python"
frame_tests := "tests/interop/test_frames.py tests/interop/test_frame_codecs.py tests/interop/test_bad_frames.py tests/interop/test_models.py tests/interop/test_overload.py tests/interop/test_frame_kill.py"
export VERGE_DATA := env("VERGE_DATA", justfile_directory() / "../shared/data")

_default:
    @just --list

# What CI runs, without foreign peers
check: fmt clippy test doc deny

# Formatting, as it should be
fmt:
    cargo fmt --all --check

# Lints, tests included and with them OPC UA; then the form that packages hold
clippy:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p verge --no-default-features -- -D warnings

# What strangers send to the embedded broker, made at random: ten minutes; `just fuzz 10` for 10 s for each of the five targets
fuzz SECONDS="120":
    VERGE_FUZZ_S={{ SECONDS }} cargo test --release -p verge-broker --lib fuzz -- --test-threads 1 --nocapture

# Everything that needs no foreign peers
test:
    cargo test --workspace

# Documentation without warnings
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences, sources, duplicates (cargo install cargo-deny --locked)
deny:
    cargo deny check bans licenses sources

# Known vulnerabilities; fetches the advisory database
advisories:
    cargo deny check advisories

# Python environment of the tests with foreign peers
venv:
    test -x {{ python }} || python3 -m venv {{ venv }}
    {{ python }} -m pip install --quiet --requirement tests/interop/requirements.txt

# Packages of Node.js for the tests with foreign peers
node:
    mkdir -p target/node
    cp tests/interop/node/package.json target/node/
    npm install --prefix target/node --no-fund --no-audit --ignore-scripts

# Tests with mosquitto and paho-mqtt: `just interop -k kill`
interop *ARGS: venv
    cargo build --release -p verge --features opcua
    cargo build --release -p verge-outbox --example scripted_session
    {{ python }} -m pytest tests/interop {{ ARGS }}

# Frames with foreign peers, on all of the data and at length: some four minutes
frames *ARGS: venv
    cargo build --release -p verge
    VERGE_FULL=1 {{ python }} -m pytest -s {{ frame_tests }} {{ ARGS }}

# How soon verdicts are at a web service, a Sparkplug host and a node of OPC UA, also beside a service that is dead, and the history of an outage: a minute; each mark is a row
bench-outputs *ARGS: venv
    cargo build --release -p verge --features opcua
    {{ python }} tests/interop/bench/bench_outputs.py {{ ARGS }}

# How soon a verdict is in a register of Modbus TCP, what polls cost, what 10,000 points take: half a minute; each mark is a row
bench-modbus *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_modbus.py {{ ARGS }}

# How fast a site of RSMP sends 10,000 messages that were held back, at 1 ms to each acknowledgement: two minutes
bench-rsmp *ARGS: venv
    cargo build --release -p verge
    VERGE_FULL=1 {{ python }} -m pytest -s tests/interop/test_rsmp.py -k buffered {{ ARGS }}

# What the dashboard costs, unwatched and with ten viewers, also of four cameras, how soon an alarm is on the screen, and reloads of 10,000 signals: five minutes; each mark is a row
bench-dashboard *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_dashboard.py {{ ARGS }}

# Pictures of the dashboard's pages for the documentation, from the demo: `just dashboard-pictures overview events`
dashboard-pictures *PAGES: venv
    cargo build --release -p verge
    {{ python }} tests/interop/dashboard_pictures.py {{ PAGES }}

# The embedded broker beside mosquitto, both with TLS: two minutes
bench-broker *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_broker.py {{ ARGS }}

# A simulated junction driven by what the gateway says over Modbus, beside its own loops: half an hour; `just bench-junction --seeds 1`
bench-junction *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_junction.py {{ ARGS }}

# What must not lose a verdict, at full length: some two hours. `just faults -k f1` for one, `VERGE_FULL=0 just faults` as CI does
faults *ARGS: venv
    cargo build --release -p verge
    cargo build --release -p verge-outbox --example scripted_session
    VERGE_FULL=${VERGE_FULL:-1} {{ python }} -m pytest -s tests/interop/faults {{ ARGS }}

# One acceptance test at full length, alone: b1, b2, b4, f8, l3, s1 to s5 (the embedded broker and certificates), f1 to f10, l1, l2;
# `VERGE_FULL=0 just acceptance b1` as CI runs it. What each shows is in docs/reliability.md
acceptance TEST: venv
    cargo build --release -p verge
    cargo build --release -p verge-outbox --example scripted_session
    VERGE_FULL=${VERGE_FULL:-1} {{ python }} -m pytest -s tests/interop/faults/test_{{ TEST }}_*.py

# The default detector on the Numenta Anomaly Benchmark, nested cross-validation included: `just eval-nab --json`
eval-nab *ARGS:
    cargo run --quiet --release -p verge -- eval nab --data "$VERGE_DATA"/nab --nested {{ ARGS }}

# The detector over several signals on the Skoltech Anomaly Benchmark
eval-skab *ARGS:
    cargo run --quiet --release -p verge -- eval skab --data "$VERGE_DATA"/skab {{ ARGS }}

# Every mark of accuracy of cameras, a row each: counts, health, a real clip, decoders, models, bad pictures; some ten minutes,
# `just eval-vision --part clip` for one part, `--quick` to see whether it works
eval-vision *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/eval_vision.py {{ ARGS }}

# Short-term forecasts beside simple ones, on the traffic of the Numenta Anomaly Benchmark and on simulated days
eval-forecast *ARGS:
    cargo run --quiet --release -p verge -- eval forecast --data "$VERGE_DATA"/nab {{ ARGS }}

# False alarms and faults found in a simulated plant, with `auto`, `health` and `silence`: `just eval-plant --run minutes --list`
eval-plant *ARGS:
    cargo run --quiet --release -p verge -- eval plant {{ ARGS }}

# Marks of the commands that make models: `just eval-models --section finetune --draws 1`
eval-models *ARGS:
    cargo run --quiet --release -p verge -- eval models --data "$VERGE_DATA" {{ ARGS }}

# Micro-benchmarks
bench *ARGS:
    cargo bench --workspace {{ ARGS }}

# The whole gateway against a local mosquitto, beside a Python gateway
bench-gateway *ARGS: venv
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench.py {{ ARGS }}

# The whole gateway on cameras, beside a Python program
bench-cameras *ARGS: venv
    {{ python }} -m pip install --quiet --requirement tests/interop/bench/requirements.txt
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_cameras.py {{ ARGS }}

# Every mark of speed and memory of cameras, a row each: tracking and health on, models of four kinds, the gain of the gate, the
# tracker and the gate by criterion; some fifteen minutes and a build of the benchmarks, `just bench-vision --model parts` for one part
bench-vision *ARGS: venv
    {{ python }} -m pip install --quiet --requirement tests/interop/bench/requirements.txt
    cargo build --release -p verge
    {{ python }} tests/interop/bench/bench_vision.py {{ ARGS }}

# See it work
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# Debian package and archive with an install script, in target/package
package *ARGS:
    packaging/package.sh {{ ARGS }}

# All that CI runs, on this machine
ci:
    bash .ci/run
