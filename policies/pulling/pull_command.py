"""Fetch a checkpoint into robotd's cache: verified, resumed after whatever happened.

  robotd ckpt pull lerobot/pi0_base                   the hub (also owner/name@revision, hf://…)
  robotd ckpt pull gs://openpi-assets/checkpoints/pi0_base
  robotd ckpt pull NAME --dry-run                     how large it is, and whether it has room

It is pinned to the commit that is newest now, and fetched without what only training needs. After a
kill or a power cut the same command goes on where it stopped. What is in the hub's own cache is used
where it lies. Afterwards the name is enough: robotd run --policy lerobot/pi0_base.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field

import msgspec

from policies.pulling.manifest import store_root
from policies.pulling.pull import Plan, Pulled, open_remote, plan, pull
from policies.pulling.room import check_room, fleeting, gigabytes
from policies.pulling.source import parse_source

_EVERY_S = 0.5
_STEP_PERCENT = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="NAME|URL", help="owner/name[@revision], gs://…, hf://…")
    parser.add_argument("--all", action="store_true", help="also what only training needs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when all of it is here and verified."""
    source = parse_source(args.source)
    remote = open_remote(source)
    planned = plan(source, remote, everything=args.all)
    if args.dry_run:
        check_room(store_root(), planned.missing_bytes)
        _say(args.json, planned, None)
        return 0
    if not args.json:
        sys.stdout.write(_before(planned) + "\n")
    if planned.snapshot is None and (why := fleeting(store_root())):
        sys.stderr.write(
            f"{store_root()} is on {why}.\n  do: mount a disk, XDG_CACHE_HOME there.\n"
        )
    bar = Bar(planned)
    try:
        pulled = pull(planned, remote, progress=bar.update)
    finally:
        bar.end()
    _say(args.json, planned, pulled)
    return 0


def _before(planned: Plan) -> str:
    manifest = planned.manifest
    words = (
        f"{manifest.name} at {manifest.revision[:12]}: {len(manifest.files)} files, "
        f"{gigabytes(manifest.size_bytes)}"
    )
    if planned.snapshot is not None:
        return words + ", all of it in the hub's cache"
    return words + (f", {gigabytes(planned.here_bytes)} here" if planned.here_bytes else "")


def _say(as_json: bool, planned: Plan, pulled: Pulled | None) -> None:
    from policies.pulling.shelf import kind_in

    manifest = planned.manifest
    path = planned.snapshot or planned.folder
    if as_json:
        said = {
            "name": manifest.name,
            "source": manifest.source,
            "revision": manifest.revision,
            "path": str(path),
            "kind": kind_in(path) if pulled is not None else "",
            "files": len(manifest.files),
            "size_bytes": manifest.size_bytes,
            "missing_bytes": 0 if pulled is not None else planned.missing_bytes,
            "complete": pulled is not None,
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    elif pulled is None:
        sys.stdout.write(_before(planned) + "\n")
        sys.stdout.write(f"{gigabytes(planned.missing_bytes)} would be fetched into {path}\n")
    else:
        kind = kind_in(path)
        sys.stdout.write(f"{path}" + (f"  ({kind})\n" if kind else "\n"))


@dataclass
class Bar:
    """How far it is, on stderr: one line that changes on a terminal, else one per ten percent."""

    planned: Plan
    _done: dict[str, int] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    _percent: int = 0

    def update(self, path: str, done: int) -> None:
        """Take note of a file's bytes; shows them when it is time."""
        self._done[path] = done
        now, total = time.monotonic(), self.planned.manifest.size_bytes
        here = sum(self._done.values())
        percent = 100 * here // total if total else 100
        if sys.stderr.isatty():
            if now - self._shown >= _EVERY_S or here == total:
                self._shown = now
                sys.stderr.write(f"\r\x1b[K{self._words(path, here, now)}")
                sys.stderr.flush()
        elif percent >= self._percent + _STEP_PERCENT:
            self._percent = percent - percent % _STEP_PERCENT
            sys.stderr.write(self._words(path, here, now) + "\n")

    def end(self) -> None:
        """Leave the terminal's line as it is."""
        if sys.stderr.isatty() and self._done:
            sys.stderr.write("\n")

    def _words(self, path: str, here: int, now: float) -> str:
        total = self.planned.manifest.size_bytes
        new = max(0, here - self.planned.here_bytes)
        rate = new / (now - self._began) if now > self._began else 0.0
        left = f", {_duration((total - here) / rate)} left" if rate > 0 and here < total else ""
        part = 100 * here // total if total else 100
        return (
            f"{part:3d} %  {gigabytes(here)} of {gigabytes(total)}, {rate / 1e6:.1f} MB/s{left}  "
            f"{path.rsplit('/', 1)[-1][:40]}"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
