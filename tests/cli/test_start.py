"""Starting: what it says before the arm can move, and what happens to it at logout."""

import os
import pwd
from pathlib import Path

from robotd.paths import lost_at_logout


def test_a_runtime_folder_that_logind_empties_at_logout_is_noticed(tmp_path: Path) -> None:
    linger = tmp_path / "linger"
    session = Path(f"/run/user/{os.getuid()}/robotd")
    assert lost_at_logout(session, linger)
    assert not lost_at_logout(tmp_path / "robotd", linger)
    assert not lost_at_logout(session, tmp_path / "no" / "linger")  # no systemd here
    linger.mkdir()
    (linger / pwd.getpwuid(os.getuid()).pw_name).touch()
    assert not lost_at_logout(session, linger)
