"""Where robotd keeps things, by the XDG rules and LeRobot's own.

`robotd status --paths` prints all of these.
"""

import os
import pwd
import stat
from pathlib import Path

from robotd.errors import ConfigError


def config_dir() -> Path:
    """`$XDG_CONFIG_HOME/robotd`, by default `~/.config/robotd`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "robotd"


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/robotd`, by default `~/.cache/robotd`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robotd"


def state_dir() -> Path:
    """`$XDG_STATE_HOME/robotd`, by default `~/.local/state/robotd`: logs and open journals."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "robotd"


def runtime_root() -> Path:
    """`$XDG_RUNTIME_DIR/robotd`, or a private folder in /tmp where no such variable is set.

    The fallback must belong to this user and be closed to others, or another user of the machine
    could put a socket in our way. Raises ConfigError when it does not.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        return Path(base) / "robotd"
    root = Path("/tmp") / f"robotd-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    owner = root.lstat()
    if owner.st_uid != os.getuid() or stat.S_IMODE(owner.st_mode) & 0o077:
        raise ConfigError(
            f"The runtime folder {root} is not private to this user.",
            "Somebody else made it, or its permissions were changed.",
            f"Remove it, or set XDG_RUNTIME_DIR to a folder only you can open (chmod 700 {root}).",
        )
    return root


def runtime_roots() -> list[Path]:
    """Every runtime root that a daemon of this user may have been started with, the present one
    first: a stop has to find an arm whose daemon began in another session, or by systemd."""
    user = os.getuid()
    base = os.environ.get("XDG_RUNTIME_DIR")
    roots = [Path(base) / "robotd"] if base else []
    roots += [Path(f"/run/user/{user}/robotd"), Path(f"/tmp/robotd-{user}")]
    found: list[Path] = []
    for root in roots:
        try:
            ours = root.is_dir() and root.stat().st_uid == user
        except OSError:
            continue
        if ours and not any(root.samefile(each) for each in found):
            found.append(root)
    return found


def runtime_dir(name: str) -> Path:
    """The runtime folder of one robot: sockets, slots and rings."""
    return runtime_root() / name


def lost_at_logout(
    root: Path | None = None, linger: Path = Path("/var/lib/systemd/linger")
) -> bool:
    """Whether systemd-logind empties the runtime folder when the user's last session ends: it lies
    in /run/user/UID and the user does not linger."""
    root = runtime_root() if root is None else root
    if not root.is_relative_to(f"/run/user/{os.getuid()}") or not linger.parent.is_dir():
        return False
    return not (linger / pwd.getpwuid(os.getuid()).pw_name).exists()


def lerobot_home() -> Path:
    """Where LeRobot keeps datasets and calibrations: `HF_LEROBOT_HOME` by LeRobot's own rule."""
    explicit = os.environ.get("HF_LEROBOT_HOME")
    if explicit:
        return Path(explicit).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hf_home = os.environ.get("HF_HOME") or str(cache / "huggingface")
    return Path(hf_home).expanduser() / "lerobot"


def calibration_dir() -> Path:
    """`HF_LEROBOT_CALIBRATION`, by default `<lerobot home>/calibration`."""
    explicit = os.environ.get("HF_LEROBOT_CALIBRATION")
    return Path(explicit).expanduser() if explicit else lerobot_home() / "calibration"


def filesystem_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that an existing folder lies on (`ext4`, `overlay`, …); empty where
    the system does not say (macOS)."""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    found = folder.resolve()
    under = [row for row in rows if len(row) > 2 and found.is_relative_to(_plain(row[1]))]
    return max(under, key=lambda row: len(row[1]), default=["", "", ""])[2]


def _plain(mount: str) -> str:
    """A mount point as it is: the kernel writes a space in it as \\040."""
    return mount.encode().decode("unicode_escape")


def absolute(name: str) -> str:
    """The full path of a file or folder that is here; anything else (a hub's name) as it is.

    For what a request carries to the daemon: it runs in another folder than the person.
    """
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name
