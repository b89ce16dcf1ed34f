"""The guard's rules as a table for `docs/safety.md`: `python -m daemon.guard.table`.

A test compares the printed page with this, so that the page cannot drift.
"""

import sys

from daemon.guard.machine import DOES, RULES


def rules_table() -> str:
    """Each state, what the guard does in it, and what leads out of it (the first that holds)."""
    lines = ["| guard | does | when | then |", "|---|---|---|---|"]
    for state, rules in RULES.items():
        first = (f"`{state.value}`", DOES[state])
        for number, rule in enumerate(rules):
            name, does = first if number == 0 else ("", "")
            lines.append(f"| {name} | {does} | {rule.when} | `{rule.then.value}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{rules_table()}\n")
