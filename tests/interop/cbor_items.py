"""Where CBOR data items begin and end (RFC 8949, section 3), without decoding them.

A receiver that must compare stored verdicts byte by byte needs the bytes, which a decoder throws away.
"""

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)


class Malformed(ValueError):
    """Not the CBOR that was expected."""


def head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the head ends."""
    if at >= len(data):
        raise Malformed(f"ends at {at}")
    major, info = data[at] >> 5, data[at] & 0x1F
    at += 1
    if info < 24:
        return major, info, at
    if info > 27:
        raise Malformed(f"indefinite or reserved length at {at - 1}")
    width = 1 << (info - 24)
    if at + width > len(data):
        raise Malformed(f"ends at {at}")
    return major, int.from_bytes(data[at : at + width], "big"), at + width


def end_of_item(data: bytes, at: int) -> int:
    """Where the item that begins at `at` ends."""
    major, argument, at = head(data, at)
    children = {ARRAY: argument, MAP: 2 * argument, TAG: 1}.get(major, 0)
    if major in (BYTES, TEXT):
        at += argument
        if at > len(data):
            raise Malformed("a text or byte string ends after the data")
    for _ in range(children):
        at = end_of_item(data, at)
    return at


def array_items(data: bytes, at: int = 0) -> list[bytes]:
    """The bytes of each item of the array that begins at `at`."""
    major, count, at = head(data, at)
    if major != ARRAY:
        raise Malformed(f"major type {major} where an array should be")
    items = []
    for _ in range(count):
        end = end_of_item(data, at)
        items.append(data[at:end])
        at = end
    return items


def map_items(data: bytes, at: int = 0) -> list[tuple[bytes, bytes]]:
    """The bytes of each key and value of the map that begins at `at` and fills the rest of the data."""
    major, count, at = head(data, at)
    if major != MAP:
        raise Malformed(f"major type {major} where a map should be")
    items = []
    for _ in range(count):
        middle = end_of_item(data, at)
        end = end_of_item(data, middle)
        items.append((data[at:middle], data[middle:end]))
        at = end
    if at != len(data):
        raise Malformed(f"{len(data) - at} bytes after the map")
    return items
