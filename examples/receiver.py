"""A receiver of verdicts, complete: pip install paho-mqtt cbor2 lz4

    python receiver.py centre.example 8883 --ca ca.pem --cert receiver.pem --key receiver.key

Prints each verdict once, in words, and what will not come. The format is described in docs/verdict.md.
"""

import argparse
import struct

import cbor2
import lz4.block
import paho.mqtt.client as mqtt

LANES = ("alarm", "verdict", "telemetry")
MEMBERS = (
    *("high", "low", "rise", "fall", "silent", "stuck", "flat", "noisy", "saturated", "clock skewed", "duplicate"),
    *("level", "mean", "profile", "median", "volatility", "context", "time of day", "shift", "machine", "pattern"),
    *("vibration", "reconstruction", "stopped", "wrong way", "person", "queue", "appearance", "frozen", "dark"),
    *("bright", "blurred", "covered", "low contrast", "moved", "flicker", "size", "rate", "unexplained motion"),
    *("model failed", "model slow", "model unproved", "model disagrees", "model damaged"),
)
STATES = ("raised", "updated", "cleared")
REASONS = ("full", "expired", "damaged", "earlier epoch", "too large", "defect", "refused")
MAX_BYTES = 1 << 20


def message_of(payload: bytes) -> dict:
    """The CBOR in a payload: plain, or in an LZ4 block with its length in front."""
    if payload[0] == 1:
        (length,) = struct.unpack_from("<I", payload, 1)
        if length > MAX_BYTES:
            raise ValueError(f"{length} bytes are too many")
        return cbor2.loads(lz4.block.decompress(payload[5:], uncompressed_size=length))
    if payload[0] == 0:
        return cbor2.loads(payload[1:])
    raise ValueError("not the CBOR form; set format = \"cbor\" at the gateway's uplink")


def named(names: tuple[str, ...], number: int) -> str:
    """The name of a number. Releases add members and reasons: one that is not known here is no error."""
    return names[number] if number < len(names) else f"number {number}"


def in_words(verdict: dict) -> str:
    """What was decided."""
    subject = " ".join(filter(None, (verdict[3], verdict.get(4))))
    if counts := verdict.get(21):
        return f"{subject}: {counts.get(5, '?')} vehicles in {counts[1] / 1000:g} s{' (partial)' * counts[3]}"
    if view := verdict.get(23):
        return f"{subject}: {', '.join(label for label, _ in view[0]) or 'no class'}"
    if view := verdict.get(24):
        return f"{subject}: {len(view[2])} objects"
    if traffic := verdict.get(25):
        crossed = sum(side[0] for line in traffic[7] for side in (line.get(1), line.get(2)) if side)
        return f"{subject}: {crossed} crossings in {traffic[1] / 1000:g} s{' (partial)' * bool(traffic[5])}"
    if body := verdict.get(20) or verdict.get(22):
        state = f" {named(STATES, verdict[11][1])}" if 11 in verdict else ""
        return f"{subject}: {named(MEMBERS, body[0])}{state}, {body[1]:g} {body.get(5, '')}".rstrip()
    return f"{subject}: a verdict of a kind that this program does not know"


class Receiver:
    """Drops what came before, by identity."""

    def __init__(self) -> None:
        # Months of verdicts would want a bound here: the newest numbers of each (gateway, epoch, lane).
        self._seen: set[tuple] = set()

    def take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Prints what is new in one message."""
        envelope = message_of(message.payload)
        gateway, epoch, lane = envelope[1], envelope[2], envelope[3]
        for verdict in envelope.get(5, []):
            # A volatile alarm has no number; it comes again with one.
            if envelope.get(7) or self._is_new((gateway, epoch, lane, verdict[0])):
                print(gateway, LANES[lane], verdict[0] or "volatile", in_words(verdict), flush=True)
        for stone in envelope.get(8, []):
            # These numbers are settled: do not wait for them. What came before stays as it is.
            if self._is_new((gateway, epoch, lane, stone[0], stone[1])):
                print(gateway, LANES[lane], f"{stone[0]} to {stone[1]} withdrawn: {named(REASONS, stone[2])}", flush=True)

    def _is_new(self, identity: tuple) -> bool:
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def main() -> None:
    """Receives until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--prefix", default="verge")
    parser.add_argument("--client-id", default="receiver")
    args = parser.parse_args()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=args.client_id, clean_session=False)
    client.tls_set(args.ca, args.cert, args.key)
    filters = [(f"{args.prefix}/+/{channel}", 1) for channel in ("alarm", "verdict")]
    client.on_connect = lambda client, *_: client.subscribe(filters)
    client.on_message = Receiver().take
    client.connect(args.host, args.port)
    client.loop_forever()


if __name__ == "__main__":
    main()
