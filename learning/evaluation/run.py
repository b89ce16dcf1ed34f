"""An evaluation from its first case to its report: the cases that are missing are played, kept, and counted.

Who plays them (`crew`), where (`play`: plant or gym) and what they have in common (`work`) are passed in.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from learning.evaluation.crew import Crew, Play
from learning.evaluation.page import chart, page
from learning.evaluation.records import EpisodeRecord, Header, Journal
from learning.evaluation.report import About, results
from learning.evaluation.variants import Case, Variant
from policies.checkpoint.digests import FileDigests
from policies.identity import policy_sha256
from robotd import __version__
from robotd.paths import state_dir

FILMS = "films"
_PLAYS = (".py", ".yaml")  # what of robotd decides how an episode goes

Told = Callable[[EpisodeRecord, int, int], None]
"""Called after each episode with how many are there and how many there will be."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is to be evaluated, and where it is kept."""

    about: About
    variants: tuple[Variant, ...]
    cases: tuple[Case, ...]
    folder: Path

    @property
    def digest(self) -> str:
        """Of everything that decides what the episodes come to, but for how the machine was."""
        content = (self.about, self.variants, self.cases)
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def evaluate(
    evaluation: Evaluation, crew: Crew, play: Play, work: Any, told: Told, *, fresh: bool = False
) -> dict[str, Any]:
    """Play what is missing and write the report; returns the content of `results.json`.

    An interrupted evaluation of the same things goes on where it was; `fresh` begins anew. Raises what an episode
    raised; what was played before that is kept.
    """
    cases = list(evaluation.cases)
    words = f"{evaluation.about.task}, {len(evaluation.variants)} variants, {len(cases)} episodes"
    header = Header(digest=evaluation.digest, about=words)
    with Journal(evaluation.folder, header, fresh=fresh) as journal:
        missing = [case for case in cases if case.key not in journal.records]
        for record in crew.play(play, work, missing):
            journal.add(record)
            told(record, len(journal.records), len(cases))
        records = list(journal.in_order(cases))
        content = results(evaluation.about, evaluation.variants, records)
        journal.complete()
    write_report(evaluation.folder, content)
    return content


def write_report(folder: Path, content: Mapping[str, Any]) -> None:
    """`results.json`, `results.svg` and `report.html`, each whole or not at all."""
    _write(folder / "results.json", json.dumps(content, indent=2) + "\n")
    _write(folder / "results.svg", chart(content))
    _write(folder / "report.html", page(content, FILMS))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def default_folder(name: str, digest: str) -> Path:
    """Where an evaluation is kept that was given no folder: the same one for the same things."""
    return state_dir() / "evaluations" / f"{name}-{digest[:10]}"


def checkpoints_sha(variants: Sequence[Variant], tokenizer: str = "") -> dict[str, str]:
    """The hash of all that decides what each variant's policy does, by the path of its checkpoint: what the loaded
    model and its probe say, too. `tokenizer` is a Pi0's where none was asked for. Raises CheckpointError."""
    digests = FileDigests()
    loads = {each.load.path: each.load for each in variants if each.load is not None}
    return {
        path: policy_sha256(path, load.tokenizer or tokenizer, digests)
        for path, load in loads.items()
    }


def revision(packages: Sequence[Path]) -> str:
    """Which robotd this is: its version, the commit where it runs from a work tree, and a digest of the sources in
    `packages` where that differs from the commit."""
    root = packages[0].parent
    words = ["git", "-C", str(root)]
    try:
        done = subprocess.run(
            [*words, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
        )
        commit = done.stdout.strip() if done.returncode == 0 and (root / ".git").exists() else ""
        dirty = bool(
            commit
            and subprocess.run(
                [*words, "status", "--porcelain", "--", *(each.name for each in packages)],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
        )
    except OSError:  # no git here
        commit, dirty = "", False
    parts = [__version__, *([commit] if commit else []), *([_sources(packages)] if dirty else [])]
    return "+".join(parts)


def _sources(packages: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for package in packages:
        for folder, _, names in sorted(os.walk(package)):
            for name in sorted(names):
                if name.endswith(_PLAYS):
                    digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()[:10]
