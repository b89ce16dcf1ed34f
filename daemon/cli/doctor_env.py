"""`robotd doctor env`: the environment that policies run in, part by part."""

import msgspec

from daemon.environment.finding import Finding
from daemon.environment.judge import judge
from daemon.environment.survey import survey

_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def run(as_json: bool) -> int:
    """Probe, judge, print. Exit status 1 when there is an error; warnings are only said."""
    findings = judge(survey())
    well = not any(each.level == "error" for each in findings)
    if as_json:
        print(msgspec.json.encode({"well": well, "findings": findings}).decode())
    else:
        print("\n".join(text(each) for each in findings))
    return 0 if well else 1


def text(finding: Finding) -> str:
    """One finding as a person reads it."""
    lines = [f"{_MARKS[finding.level]}  {finding.name:10}  {finding.what}"]
    if finding.level != "ok":
        lines += [f"           likely: {finding.likely}", f"           do:     {finding.do}"]
    return "\n".join(lines)
