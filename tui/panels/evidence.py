"""The panel of what watches over a session: twin, policy, disk and the processes behind them."""

from collections.abc import Sequence

from rich.text import Text

from robotd.status import PolicyStatus, StageLatency
from tui.flow import fitted
from tui.look import Look
from tui.verdict_lines import warnings
from tui.view import View, aged, span_words

RESIDUAL_SCALE_DEG = 6.0
"""Full height of the sparkline: the droop of a loaded joint at LeRobot's gains, so that droop is
not an alarm."""


def title(view: View) -> str:
    """The panel's title."""
    return "twin, policy, disk"


def draw(view: View, width: int, height: int) -> Text:
    """The panel's inside."""
    if view.status is None:
        return Text("waiting for the first state", style=view.look.faint)
    lines = [
        *warnings(view.look, view.status.recording, width),
        _twin(view, width),
        *_plans(view, width),
        *_policy(view, width),
        *_shadow(view, width),
        _disk(view),
    ]
    shown = [line for line in lines if line.plain]
    if height >= len(shown) + 3:
        shown += [Text(), _control(view, width), *_processes(view, width)]
    for line in shown:
        line.truncate(width)
    return aged(view, shown[:height])


def spark(look: Look, values: Sequence[float], scale: float) -> str:
    """A line of one glyph for each value between 0 and `scale`."""
    top = len(look.spark) - 1
    return "".join(look.spark[min(top, round(value / scale * top))] for value in values)


def _twin(view: View, width: int) -> Text:
    look = view.look
    assert view.status is not None
    twin = view.status.twin
    if not twin.alive:
        return Text(f"{look.alert} twin is not running: no plan can pass", style=look.warn)
    worst = max((abs(value) for value in twin.residual_deg), default=0.0)
    if view.loop_silent_ms:
        return Text("twin: no joints to compare with", style=look.warn)
    unit = look.degree or " deg"
    text = Text("twin ", style=look.dim)
    text.append(f"{worst:.1f}{unit} ", style=look.text)
    clear = (" park clear", look.dim) if twin.park_clear else (" park blocked", look.warn)
    room = width - text.cell_len - len(clear[0])
    line = spark(look, view.residual_deg[-max(0, min(12, room)) :], RESIDUAL_SCALE_DEG)
    text.append(line if room > 0 else "", style=look.accent)
    return text.append(*clear)


def _plans(view: View, width: int) -> list[Text]:
    look = view.look
    assert view.status is not None
    twin = view.status.twin
    if not twin.plans_passed and not twin.plans_rejected:
        return []
    text = Text(f"plans {twin.plans_passed} passed ", style=look.dim)
    text.append(f"{twin.last_verdict_ms:.0f} ms  ", style=look.faint)
    if not twin.plans_rejected:
        return [text]
    text.append(f"{look.alert} {twin.plans_rejected} rejected", style=look.warn)
    why = fitted([[(twin.last_reason, look.warn)]], width, 2, 2) if twin.last_reason else []
    return [text, *why]


def _policy(view: View, width: int) -> list[Text]:
    look = view.look
    assert view.status is not None
    policy = view.status.policy
    if policy.phase == "none":
        return []
    if policy.phase == "failed":
        words = f"{look.alert} policy: {policy.error or 'failed'} (P loads another)"
        return fitted([[(words, look.bad)]], width, 3, 2)
    text = Text(f"{policy.kind or 'policy'} {policy.phase}", style=look.violet)
    if policy.chunks:
        text.append(f"  {policy.inference_ms:.0f} ms", style=look.text)
        text.append(f"  sees {policy.observation_age_ms:.0f} ms old", style=look.dim)
    lines = [text, *_latency(look, policy)]
    if policy.told:
        told = (f"{look.alert} is told {policy.told}", look.warn)
        lines += fitted([[told]], width, 2, 2)
    for words in policy_cautions(policy):
        lines += fitted([[(f"{look.alert} {words}", look.warn)]], width, 2, 2)
    if policy.probed == "fail":
        lines += fitted([[(f"{look.alert} probe {policy.probe}", look.bad)]], width, 2, 2)
    return lines


def policy_cautions(policy: PolicyStatus) -> list[str]:
    """How it is played otherwise than it was trained: speed, changed actions, other cameras."""
    said = []
    if policy.time_scale != 1.0:
        said.append(f"{policy.time_scale:g} times its speed")
    if policy.changed:
        said.append(policy.changed)
    return said + [f"camera {difference}" for difference in policy.camera_differences]


def _latency(look: Look, policy: PolicyStatus) -> list[Text]:
    """From a picture to the goal that came of it, and the model's own part."""
    if "total" not in policy.latency:
        return []
    total, infer = policy.latency["total"], policy.latency.get("infer", StageLatency())
    text = Text(f"{policy.mode}  " if policy.mode else "", style=look.dim)
    text.append(f"picture to goal {total.p50_ms:.0f} ms", style=look.text)
    text.append(f"  p95 {total.p95_ms:.0f}", style=look.dim)
    return [text.append(f"  model {infer.p50_ms:.0f}", style=look.dim)]


def _shadow(view: View, width: int) -> list[Text]:
    """A rehearsal that goes on: what the twin says of chunks that nobody follows."""
    look = view.look
    assert view.status is not None
    shadow = view.status.shadow
    if shadow.phase != "running":
        return []
    text = Text(f"in shadow {shadow.elapsed_s:.0f} of {shadow.seconds:.0f} s  ", style=look.violet)
    text.append(f"{shadow.chunks} chunks ", style=look.dim)
    refused = f"{look.alert} {shadow.refused} refused" if shadow.refused else "0 refused"
    text.append(refused, style=look.warn if shadow.refused else look.dim)
    lines = [text]
    why = shadow.trouble or max(shadow.reasons, key=lambda each: shadow.reasons[each], default="")
    return lines + (fitted([[(why, look.warn)]], width, 2, 2) if why else [])


def _control(view: View, width: int) -> Text:
    look = view.look
    assert view.status is not None
    loop = view.status.loop
    memory = "memory locked" if loop.memory_locked else "memory not locked"
    up = span_words(view.status.uptime_s)
    long = f"control {loop.scheduler}, {memory}, {loop.rss_mb:.0f} MB, up {up}"
    short = f"{loop.scheduler}, {loop.rss_mb:.0f} MB, up {up}"
    return Text(long if len(long) <= width else short, style=look.faint)


def _processes(view: View, width: int) -> list[Text]:
    """Every process and how it is, wrapped to the panel."""
    look = view.look
    assert view.status is not None
    lines = [Text()]
    for name, word in view.status.processes.items():
        item = f"{name} {word}  "
        if lines[-1].cell_len + len(item) > width:
            lines.append(Text())
        lines[-1].append(item, style=look.faint if word == "running" else look.warn)
    return lines


def _disk(view: View) -> Text:
    look = view.look
    assert view.status is not None
    left_s = view.status.recording.disk_left_s
    if left_s is None:
        return Text()
    if view.status.recording.disk_low:
        return Text(
            f"{look.alert} disk full in {span_words(left_s)}: free some space", style=look.warn
        )
    return Text(f"disk {span_words(left_s)} to record", style=look.dim)
