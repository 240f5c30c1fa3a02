"""What a receiver has seen, by identity: it drops duplicates and sees gaps by itself."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from wire import Message, Tombstone, Verdict

# (gateway, epoch, lane): what numbers count within.
LaneKey = tuple[str, str, str]


class Identity(NamedTuple):
    """What makes two arrivals the same verdict."""

    gateway: str
    epoch: str
    lane: str
    seq: int


@dataclass
class Ledger:
    """Verdicts by identity, in order of first arrival; beside them what will not come."""

    verdicts: dict[Identity, Verdict] = field(default_factory=dict)
    duplicates: int = 0
    # Identities that came again with other content: must stay empty.
    contradictions: list[Identity] = field(default_factory=list)
    # Tombstones of each lane by their first number; of those with the same one the longest.
    tombstones: dict[LaneKey, dict[int, Tombstone]] = field(default_factory=lambda: defaultdict(dict))
    # Alarms without a number: shown, and in no books.
    volatile: list[Verdict] = field(default_factory=list)

    def note(self, message: Message) -> None:
        """Takes note of all verdicts and tombstones of a message."""
        if message.volatile:
            self.volatile += message.verdicts
            return
        key = (message.gateway, message.epoch, message.lane)
        for verdict in message.verdicts:
            identity = Identity(*key, verdict.seq)
            if identity not in self.verdicts:
                self.verdicts[identity] = verdict
                continue
            self.duplicates += 1
            if self.verdicts[identity] != verdict:
                self.contradictions.append(identity)
        for stone in message.tombstones:
            known = self.tombstones[key].get(stone.first)
            if known is None or known.last < stone.last:
                self.tombstones[key][stone.first] = stone

    def withdrawn(self, identity: Identity) -> bool:
        """Whether a tombstone stands under this number."""
        stones = self.tombstones.get(identity[:3], {}).values()
        return any(stone.first <= identity.seq <= stone.last for stone in stones)

    def gaps(self) -> dict[LaneKey, list[int]]:
        """Missing numbers of each (gateway, epoch, lane), from 1 to the newest; lanes without gaps are left out."""
        settled: dict[LaneKey, set[int]] = defaultdict(set)
        for identity in self.verdicts:
            settled[identity[:3]].add(identity.seq)
        for key, stones in self.tombstones.items():
            for stone in stones.values():
                settled[key].update(range(stone.first, stone.last + 1))
        missing = {key: sorted(set(range(1, max(numbers) + 1)) - numbers) for key, numbers in settled.items()}
        return {key: numbers for key, numbers in missing.items() if numbers}

    def in_order(self, lane: str | None = None) -> list[Verdict]:
        """Verdicts by sequence number, of one lane or of all."""
        chosen = [(key.seq, verdict) for key, verdict in self.verdicts.items() if lane in (None, key.lane)]
        return [verdict for _, verdict in sorted(chosen, key=lambda pair: pair[0])]

    def assert_sound(self) -> None:
        """No gaps, and nothing came twice with other content."""
        assert not self.gaps(), f"gaps: {self.gaps()}"
        assert not self.contradictions, f"the same identity with other bytes: {self.contradictions[:5]}"
