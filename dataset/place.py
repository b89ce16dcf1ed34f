"""Where a dataset is that a person names: `owner/name` under LeRobot's home, or by its folder.

Every verb of `robotd dataset` resolves its argument here, so that a name means one thing. Nothing
is read but names.
"""

from pathlib import Path

from robotd import paths
from robotd.errors import DatasetError

_PARTS = ("meta", "data", "videos", "robotd")
"""Folders of which a dataset has at least one, however broken it is."""

_SNAPSHOTS = "snapshots"
_REVISIONS = ("v3.0", "main")
"""What LeRobot asks the hub for, in its order: the tag of the format's version, else the branch."""


def dataset_at(text: str, *, editable: bool = False) -> Path:
    """The folder of the dataset called `text`, which has to be there.

    In this order: a path (one that begins with /, . or ~), a name under LeRobot's home, a folder
    of that name here, a download in LeRobot's hub cache. Whether it can be read is the caller's
    to find out: it need not be whole, only a folder. With `editable`, a download is refused: its
    files are shared with other revisions.

    Raises DatasetError when nothing is there.
    """
    if _is_path(text):
        found = _folder(Path(text).expanduser())
    else:
        found = _named(text) or _dataset(Path(text)) or _downloaded(text)
    if found is None:
        raise DatasetError(
            f"There is no dataset {text!r}.",
            f"The name is misspelt, or it is not under {paths.lerobot_home()}; a name is "
            "`owner/name`, a folder in another place is given as a path.",
            "`robotd dataset list` shows what there is; `./folder` means a folder here.",
        )
    if editable and is_download(found):
        raise DatasetError(
            f"{found} is LeRobot's download of a revision from the hub.",
            "Its files are links into a cache that other revisions share.",
            f"Copy it first: cp -rL {found} {paths.lerobot_home() / 'owner/name'}",
        )
    return found


def new_dataset_at(text: str) -> Path:
    """The folder for a dataset to be made, called `text` by the same rules; nothing may be there.

    Raises DatasetError when something is, or the name is none.
    """
    root = Path(text).expanduser().absolute() if _is_path(text) else _under_home(text)
    if root.exists() or root.is_symlink():
        raise DatasetError(
            f"{root} exists.",
            "A dataset is never written over another one.",
            "Choose another name, or move that folder away.",
        )
    return root


def beside(root: Path, suffix: str) -> Path:
    """A free folder beside `root` for a dataset made from it: name-suffix, name-suffix-2, …

    Of a download, which lies in a cache, it is under LeRobot's home.
    """
    base = _under_home(name_of(root)) if is_download(root) else root
    first = base.with_name(f"{base.name}-{suffix}")
    number, free = 2, first
    while free.exists() or free.is_symlink():
        free, number = first.with_name(f"{first.name}-{number}"), number + 1
    return free


def name_of(root: Path) -> str:
    """What LeRobot calls the dataset in `root`: owner/name under its home, else the folder's name."""
    if is_download(root):
        return root.parent.parent.name.removeprefix("datasets--").replace("--", "/", 1)
    home = paths.lerobot_home().absolute()
    where = root.absolute()
    return where.relative_to(home).as_posix() if where.is_relative_to(home) else where.name


def is_download(root: Path) -> bool:
    """Whether `root` is a revision in the hub's cache: a folder of links to shared files."""
    cache = root.absolute().parent
    return cache.name == _SNAPSHOTS and cache.parent.name.startswith("datasets--")


def _is_path(text: str) -> bool:
    return text.startswith(("/", "~", "./", "../")) or text in (".", "..")


def _named(text: str) -> Path | None:
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    return _dataset(paths.lerobot_home().joinpath(*parts))


def _under_home(name: str) -> Path:
    from daemon.recorder.catalog import dataset_root

    return dataset_root(paths.lerobot_home(), name)


def _folder(path: Path) -> Path | None:
    return path.absolute() if path.is_dir() else None


def _dataset(path: Path) -> Path | None:
    return _folder(path) if any((path / part).is_dir() for part in _PARTS) else None


def _downloaded(text: str) -> Path | None:
    """LeRobot's download of the dataset: the revision that it would load itself."""
    cache = paths.lerobot_home() / "hub" / f"datasets--{text.replace('/', '--')}"
    for revision in _REVISIONS:
        ref = cache / "refs" / revision
        if ref.is_file():
            return _folder(cache / _SNAPSHOTS / ref.read_text().strip())
    return None
