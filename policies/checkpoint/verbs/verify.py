"""`robotd ckpt verify PATH`: exit 0 with what was checked, 2 with what is wrong and its mend."""

import argparse
import sys
from typing import TYPE_CHECKING

import msgspec

from policies.checkpoint.verbs.options import add_checkpoint, resolve, say
from policies.jax_reference.options import add_options

if TYPE_CHECKING:
    from policies.checkpoint.verify import Report


def configure(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument("--tokenizer", default="", help="PaliGemma's tokenizer, a file or folder")
    parser.add_argument("--json", action="store_true")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    from policies.checkpoint.verify import verify

    report = verify(
        resolve(args),
        lora_alpha=args.lora_alpha,
        asset_id=args.asset,
        tokenizer=args.tokenizer,
        progress=_progress if sys.stderr.isatty() else lambda _: None,
    )
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if args.against and not report.exit_code:
        from policies.jax_reference import against

        return against.run(args)
    say(msgspec.json.encode(report).decode() if args.json else "\n".join(_lines(report)))
    return report.exit_code


def _progress(name: str) -> None:
    sys.stderr.write(f"\r\x1b[K{name[-70:]}")
    sys.stderr.flush()


def _lines(report: "Report") -> list[str]:
    kind = f"{report.kind}, {report.framework} {report.generation}".strip()
    lines = [f"{report.path}: {report.verdict}" + (f" ({kind})" if report.kind else "")]
    lines += [f"  checked: {words}" for words in report.checked]
    for finding in report.findings:
        lines += [f"  {finding.severity}: {finding.what}"]
        lines += [f"    likely: {finding.likely}", f"    do:     {finding.do}"]
    return lines
