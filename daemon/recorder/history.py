"""What a dataset's commit records say together: which files are there, what was done last; pure.

Changes are taken back in the order in which they came, so the records are read as a stack.
"""

from collections.abc import Iterable, Mapping

from daemon.recorder.transaction import Commit


def present_files(commits: Iterable[Commit]) -> Mapping[str, str]:
    """SHA-256 by name of every file that robotd put into the dataset and that is still in it."""
    files: dict[str, str] = {}
    before: dict[str, dict[str, str]] = {}
    of_keep: dict[str, dict[str, str]] = {}
    for commit in commits:
        if commit.kind == "keep":
            files |= commit.files
            of_keep[commit.journal_id] = commit.files
        elif commit.kind == "remove":
            for name in of_keep.pop(commit.journal_id, {}):
                files.pop(name, None)
        elif commit.undoes:
            files = dict(before.get(commit.undoes, files))
        elif not commit.is_beside:
            before[commit.journal_id] = files
            files = dict(commit.files)
    return files


def changes(commits: Iterable[Commit]) -> list[Commit]:
    """Every keep and edit that was not taken back since, oldest first."""
    done: list[Commit] = []
    for commit in commits:
        if commit.kind == "keep" or (commit.kind == "edit" and not commit.undoes):
            done.append(commit)
            continue
        gone = commit.undoes or commit.journal_id
        place = next((n for n in reversed(range(len(done))) if done[n].journal_id == gone), None)
        if place is not None:
            del done[place]
        if commit.kind == "remove":  # with the episode goes what was said of it
            done = [each for each in done if each.label_of != gone]
    return done


def tags(commits: Iterable[Commit]) -> dict[str, Commit]:
    """The tags that the dataset has, with the record of each: what the content was by then."""
    return {each.tag: each for each in changes(commits) if each.tag}
