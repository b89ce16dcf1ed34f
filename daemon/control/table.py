"""The state machine as a table for `docs/safety.md`: `python -m daemon.control.table`.

A test compares the printed page with this, so that the page cannot drift.
"""

import sys

from daemon.control.machine import Event, Facts, Refusal, next_state, torque_rule
from robotd.states import Fault, HomeWay, State

_CLEAR = Facts(park_clear=True, holds_torque=True, fault=Fault.STALLED, home_way=HomeWay.STRAIGHT)
_BLOCKED = Facts(
    park_clear=False, holds_torque=False, fault=Fault.BUS_LOST, home_way=HomeWay.BLOCKED
)


def states_table() -> str:
    """Each state and what control does to the servos in it."""
    rows = [f"| `{state.name.lower()}` | {torque_rule(state).value} |" for state in State]
    return "\n".join(["| state | torque and goals |", "|---|---|", *rows])


def transitions_table() -> str:
    """Each state and event. Two states mean: way clear / way blocked (or torque on / off)."""
    head = "| from | " + " | ".join(event.value for event in Event) + " |"
    lines = [head, "|---" * (len(Event) + 1) + "|"]
    for state in State:
        cells = [_cell(state, event) for event in Event]
        lines.append(f"| `{state.name.lower()}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(state: State, event: Event) -> str:
    found = [_word(state, event, facts) for facts in (_CLEAR, _BLOCKED)]
    return found[0] if found[0] == found[1] else " / ".join(found)


def _word(state: State, event: Event, facts: Facts) -> str:
    after = next_state(state, event, facts)
    if isinstance(after, Refusal):
        return "✗"
    return "·" if after is state else after.name.lower()


if __name__ == "__main__":
    sys.stdout.write(f"{states_table()}\n\n{transitions_table()}\n")
