"""What a receiver has seen, by identity: it drops duplicates and sees gaps by itself."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from wire import Message, Verdict


class Identity(NamedTuple):
    """What makes two arrivals the same verdict."""

    gateway: str
    epoch: str
    lane: str
    seq: int


@dataclass
class Ledger:
    """Verdicts by identity, in order of first arrival."""

    verdicts: dict[Identity, Verdict] = field(default_factory=dict)
    duplicates: int = 0
    # Identities that came again with other content: must stay empty.
    contradictions: list[Identity] = field(default_factory=list)

    def note(self, message: Message) -> None:
        """Takes note of all verdicts of a message."""
        for verdict in message.verdicts:
            identity = Identity(message.gateway, message.epoch, message.lane, verdict.seq)
            if identity not in self.verdicts:
                self.verdicts[identity] = verdict
                continue
            self.duplicates += 1
            if self.verdicts[identity] != verdict:
                self.contradictions.append(identity)

    def gaps(self) -> dict[tuple[str, str, str], list[int]]:
        """Missing numbers of each (gateway, epoch, lane), from 1 to the newest; lanes without gaps are left out."""
        seen: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for identity in self.verdicts:
            seen[identity[:3]].add(identity.seq)
        missing = {key: sorted(set(range(1, max(numbers) + 1)) - numbers) for key, numbers in seen.items()}
        return {key: numbers for key, numbers in missing.items() if numbers}

    def in_order(self, lane: str | None = None) -> list[Verdict]:
        """Verdicts by sequence number, of one lane or of all."""
        chosen = [(key.seq, verdict) for key, verdict in self.verdicts.items() if lane in (None, key.lane)]
        return [verdict for _, verdict in sorted(chosen, key=lambda pair: pair[0])]

    def assert_sound(self) -> None:
        """No gaps, and nothing came twice with other content."""
        assert not self.gaps(), f"gaps: {self.gaps()}"
        assert not self.contradictions, f"the same identity with other bytes: {self.contradictions[:5]}"
