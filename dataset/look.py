"""`robotd dataset info NAME|FOLDER`: what one dataset holds."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at
from dataset.settled import settled

if TYPE_CHECKING:
    from daemon.recorder.quality.finding import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog
    from daemon.recorder.convention import convention_of
    from dataset.provenance import read_provenance

    root = settled(dataset_at(args.dataset))
    found = catalog.read_info(root)
    numbers, steps = convention_of(root), read_provenance(root)
    if args.json:
        more = {"numbers": numbers, "made_by": steps}
        print(msgspec.json.encode(msgspec.structs.asdict(found) | more).decode())
    else:
        for name, value in msgspec.structs.asdict(found).items():
            if name not in ("judged", "flagged"):
                print(f"{name:14} {_text(value)}")
        print(f"{'quality':14} {_quality(found.judged, found.flagged)}")
        print(f"{'numbers':14} {numbers.in_words() if numbers else 'not said'}")
        for step in steps:
            print(f"{'made by':14} {step.verb} from {step.source}: {'; '.join(step.did)}")
    return 0


def _quality(judged: int, flagged: "Mapping[int, Sequence[Finding]]") -> str:
    """What the quality gate said when the episodes were saved."""
    if not judged:
        return "no episode was judged when it was saved"
    lines = [f"{len(flagged)} of {judged} episodes with findings"]
    for index, findings in flagged.items():
        lines += [
            f"  episode {index}: {each.severity}: {each.what} {each.do}." for each in findings
        ]
    return "\n".join(lines)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(["", *(f"  {key}: {item}" for key, item in value.items())])
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
