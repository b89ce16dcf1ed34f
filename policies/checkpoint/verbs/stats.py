"""`robotd ckpt stats PATH --from …`: a copy whose statistics are those of its training."""

import argparse
import sys
from pathlib import Path

from policies.checkpoint.verbs.options import add_path, resolve, say


def configure(parser: argparse.ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="SOURCE",
        help="the dataset it was trained on (owner/name or folder), or a norm_stats.json",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the copy (default: PATH-stats)")
    parser.add_argument("--asset", default="", metavar="ID", help="which of openpi's assets/ it is")
    parser.add_argument(
        "--embodiment", default="", metavar="NAME|FILE", help="what one of openpi's was trained on"
    )


def run(args: argparse.Namespace) -> int:
    from policies.checkpoint.mend import mend

    path = resolve(args).resolve()
    out = args.out.expanduser() if args.out else path.with_name(f"{path.name}-stats")
    mended = mend(path, args.source, out, asset_id=args.asset, embodiment=args.embodiment)
    sys.stderr.write(f"statistics of {args.source}, in {mended.stats_source}\n")
    say(str(mended.path))
    return 0
