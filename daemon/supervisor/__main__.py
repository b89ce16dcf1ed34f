"""`python -m daemon.supervisor [--sim [--task TASK]] [--name NAME] [--config FILE]`: run one robot.

`robotd start` starts this detached and reads one JSON line from `--ready-fd`: that it is up, or the
error in three parts. Without it (systemd, --foreground) errors go to stderr. SIGTERM and Ctrl-C
park the arm and let it down; a second one lets it down where it is.
"""

import argparse
import contextlib
import logging
import logging.handlers
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from config.joints import ARM_JOINTS, MODEL_RANGE_DEG, joint_names
from config.loader import Loaded, load
from config.scene import with_task
from config.schema import Config
from daemon.cores import Cores, own_core, share
from daemon.selftest import record as selftest
from daemon.selftest.evidence import hardware_checks, with_evidence
from daemon.supervisor.blueprint import environment, resolve
from daemon.supervisor.notify import Notifier
from daemon.supervisor.pending import unexpected
from daemon.supervisor.runtime import RuntimeFolder
from daemon.supervisor.startup import encode_failure, encode_ready, encode_waiting
from daemon.supervisor.supervisor import Supervisor
from drivers.calibration import load_robot_calibration, load_teleoperator_calibration
from drivers.joint_map import JointMap
from robotd import paths
from robotd.client import running_instances
from robotd.clock import MonotonicClock
from robotd.errors import ConfigError, RobotdError
from robotd.messages import Instance

log = logging.getLogger("supervisor")

_LOG_BYTES = 4 << 20
_MARGIN_S = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m daemon.supervisor", description=__doc__)
    parser.add_argument("--sim", action="store_true", help="with the body in MuJoCo")
    parser.add_argument("--task", help="whose things stand on the simulated table")
    parser.add_argument("--name", help="the robot's name, instead of the configured one")
    parser.add_argument("--config", help="a file, or a shipped profile's name")
    parser.add_argument("--ready-fd", type=int, help="where to say that it is up, or why not")
    parser.add_argument("--foreground", action="store_true", help="log to the terminal too")
    arguments = parser.parse_args()
    signals: list[int] = []
    _hear_signals(signals, arguments.foreground)
    try:
        loaded = load(arguments.name, arguments.config, simulated=arguments.sim)
        if arguments.task is not None:
            loaded = replace(loaded, config=with_task(loaded.config, arguments.task))
        _run(loaded, arguments.ready_fd, arguments.foreground, signals)
    except RobotdError as error:
        return _failed(error, arguments, None)
    except Exception as error:  # noqa: BLE001 - logged with its traceback
        return _failed(unexpected("The supervisor", error), arguments, error)
    return 0


def _hear_signals(signals: list[int], foreground: bool) -> None:
    """Note what stops the robot. A terminal that hangs up stops the one that runs in it, unless
    nohup said otherwise; a detached daemon has no terminal to lose."""
    heard = [signal.SIGTERM, signal.SIGINT]
    if foreground and sys.stdin.isatty() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    else:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in heard:
        signal.signal(number, lambda which, _: signals.append(which))


def _failed(error: RobotdError, arguments: argparse.Namespace, cause: Exception | None) -> int:
    """Say it in the log, to the one who started us, and on stderr; returns the exit status."""
    logged = bool(logging.getLogger().handlers)
    if logged:
        log.error("%s", error, exc_info=cause)
    _tell(arguments.ready_fd, encode_failure(error))
    if arguments.ready_fd is None and not (logged and arguments.foreground):
        sys.stderr.write(f"{error}\n")
    return error.exit_code


def _run(loaded: Loaded, ready_fd: int | None, foreground: bool, signals: list[int]) -> None:
    name = loaded.config.name
    logs = paths.state_dir() / name / "logs"
    _log_to(logs, foreground)
    real = [one for one in running_instances().values() if not one.simulated]
    simulated = loaded.config.simulation is not None
    runtime = paths.runtime_dir(name)
    tried = {arm: selftest.load(each.id) for arm, each in loaded.config.arms.items()}
    fitted = with_evidence(loaded.config, tried)
    hardware = hardware_checks(fitted, tried)
    config = resolve(fitted, runtime, yields_priority=simulated and bool(real))
    os.environ.update(environment(config))
    maps = joint_maps(config)
    notifier = Notifier()

    def waiting(what: str, seconds: float) -> None:
        notifier.extend(seconds + _MARGIN_S)
        _tell(ready_fd, encode_waiting(what, seconds), last=False)

    folder = RuntimeFolder.take(runtime, waiting)
    try:
        folder.write_config(config)
        folder.write_cores(_share_cores(config.control.cpu, yields=simulated and bool(real)))
        folder.write_instance(_instance(config, loaded.file))

        for note in loaded.notes:
            log.warning("rehearsal: %s", note)

        def ready(seconds: float) -> None:
            _tell(ready_fd, encode_ready(seconds, loaded.notes))

        supervisor = Supervisor(
            config, folder, logs, maps, MonotonicClock(), notifier, ready, hardware
        )
        supervisor.run(signals)
    finally:
        folder.close()


def _share_cores(setting: int | str, *, yields: bool) -> Cores:
    """Choose control's core and keep off it: every child inherits the supervisor's cores, and
    control alone goes to its own."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores(None, (), "this system gives no core to a process")
    taken = [core for name in running_instances() for core in own_core(paths.runtime_dir(name))]
    cores = share(os.sched_getaffinity(0), setting, taken, yields)
    try:
        os.sched_setaffinity(0, cores.others)
    except OSError as error:
        log.warning("the processes cannot be kept off control's core: %s", error)
    return cores


def joint_maps(config: Config) -> tuple[JointMap, ...]:
    """Every arm's joint map, and proof that the leaders' calibrations are there too: a missing one
    is an error now, not a process that dies. Raises CalibrationError."""
    maps = tuple(
        JointMap(load_robot_calibration(arm.id), [math.radians(d) for d in arm.joint_offset_deg])
        for arm in config.arms.values()
    )
    for (name, arm), joint_map in zip(config.arms.items(), maps, strict=True):
        _check_margin(config, name, joint_map)
        if arm.leader is not None:
            load_teleoperator_calibration(arm.leader.id)
    return maps


def _check_margin(config: Config, arm: str, joint_map: JointMap) -> None:
    """Every joint has to be left some way once the margin is taken off both ends of its calibrated
    range. Raises ConfigError."""
    lows, highs = zip(*MODEL_RANGE_DEG, strict=True)
    limits = joint_map.limits_rad([math.radians(d) for d in lows], [math.radians(d) for d in highs])
    margin_deg = config.limits.range_margin_deg
    for joint, low, high in zip(ARM_JOINTS, *limits, strict=True):
        span_deg = math.degrees(high - low)
        if span_deg <= 2 * margin_deg:
            raise ConfigError(
                f"limits.range_margin_deg {margin_deg:g} deg leaves {arm}'s {joint} no way to go.",
                f"Its calibrated range is {span_deg:.1f} deg wide, and the margin is taken off "
                "both ends.",
                f"Use a margin below {span_deg / 2:.1f} deg, or calibrate the arm again with "
                "lerobot-calibrate.",
            )


def _instance(config: Config, file: Path | None) -> Instance:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    return Instance(
        name=config.name,
        pid=os.getpid(),
        boot_id=boot_id.read_text().strip() if boot_id.exists() else "",
        simulated=config.simulation is not None,
        joints=joint_names(config),
        cameras=tuple(config.cameras),
        tick_hz=config.control.tick_hz,
        fps=config.recording.fps,
        config_file=None if file is None else str(file.resolve()),
        environment_state=config.recording.environment_state,
    )


def _log_to(logs: Path, foreground: bool) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            logs / "supervisor.log", maxBytes=_LOG_BYTES, backupCount=1
        )
    ]
    if foreground:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
    )


def _tell(ready_fd: int | None, line: bytes, *, last: bool = True) -> None:
    if ready_fd is None:
        return
    # Whoever started us may have gone away; that changes nothing here.
    with contextlib.suppress(OSError):
        os.write(ready_fd, line)
        if last:
            os.close(ready_fd)


if __name__ == "__main__":
    sys.exit(main())
