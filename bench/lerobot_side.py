"""LeRobot's side of `bench tick`: its record loop on the same wire, judged by the same recorder."""

import importlib.util
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from bench.figures import Stamps, period_errors_ns, spread, within
from bench.lerobot_loop import SETTINGS, TELEOPERATE, Options
from bench.rig import Rig, helper, line, plant, wire_recorder
from bench.robotd_side import SHIPPED_ACT, Work
from bench.wire import Recorded
from robotd.clock import NS_PER_S
from robotd.errors import ConfigError
from robotd.installed import install_again
from sim.plant.server_paths import ENVIRONMENT_FILE, PLANT_FOLDER

FPS = 30  # LeRobot's loop: rows, pictures and goals at one rate
_LEAD_S = 2.0  # of the loop before it is judged, as long as robotd's
_ENDING_S = 120.0  # a dataset that is thrown away still closes its encoders
_PLANT_OPTIONS = '{"leader": false, "realtime_priority": true}'

Said = Callable[[str], None]


def measure(rig: Rig, work: Work, said: Said) -> dict[str, dict[str, Any]]:
    """Each of LeRobot's settings under the same load: its figures by name, `default` among them.

    Raises ConfigError where LeRobot is not installed, DaemonError when its loop failed.
    """
    if importlib.util.find_spec("lerobot") is None:
        raise ConfigError(
            "LeRobot is not installed here, so there is nothing to compare with.",
            "This is the light install.",
            f"Install the other half: {install_again('policy')}; or leave out --against.",
        )
    settings = SETTINGS if work.encode else (TELEOPERATE,)
    found = {name: _one(rig, work, name, said) for name in settings}
    if not work.encode:
        # Without a dataset there is nothing to set: it is the best and the default at once.
        found["default"] = found.pop(TELEOPERATE)
    return found


def _one(rig: Rig, work: Work, setting: str, said: Said) -> dict[str, Any]:
    said(f"LeRobot, {setting}: {work.seconds:g} s")
    with plant(rig, _PLANT_OPTIONS) as runtime, wire_recorder(rig, line(runtime)) as recorder:
        recorder.ready()
        options = Options(
            port=str(rig.wire),
            setting=setting,
            seconds=work.seconds + _LEAD_S,
            fps=FPS,
            root=str(rig.folder / f"lerobot-{setting}"),
            environment=str(runtime / PLANT_FOLDER / ENVIRONMENT_FILE),
            policy=str(SHIPPED_ACT) if work.policy else None,
        )
        encoded = msgspec.json.encode(options).decode()
        with helper(rig.folder, "bench.lerobot_loop", (encoded,)) as loop:
            began, ended = loop.ready().split()
            loop.finish(_ENDING_S)
            slow = loop.words().count("Record loop is running slower")
    goals = Recorded.read(rig.recorded).goals
    return judge(goals, int(began), int(ended)) | {"slower_than_fps": slow}


def judge(goals: Stamps, began_ns: int, ended_ns: int) -> dict[str, Any]:
    """The period errors of one run after its lead. `missed`: whole periods without a goal write,
    beyond the first of each interval."""
    begin_ns = began_ns + round(_LEAD_S * NS_PER_S)
    inside = within(goals, begin_ns, ended_ns)
    period_ns = NS_PER_S / FPS
    intervals = np.diff(inside)
    missed = int(np.maximum(np.rint(intervals / period_ns) - 1, 0).sum())
    errors = spread(period_errors_ns(inside, period_ns))
    mean_hz = NS_PER_S / float(intervals.mean()) if len(intervals) else 0.0
    return {"missed": missed, **errors.as_json(), "hz": round(mean_hz, 2)}
