"""Which policy a checkpoint or server is, told without loading it: the hash that the loaded model says of itself.

By it an evaluation knows that it goes on with the same policy, and a report, a probe and a rehearsal can be told to
be of one and the same.
"""

from policies.checkpoint.container import open_container
from policies.checkpoint.digests import FileDigests, files_sha256
from policies.checkpoint.folder import read_folder
from policies.pulling.shelf import local_folder
from policies.server.client import is_server


def policy_sha256(source: str, tokenizer: str = "", digests: FileDigests | None = None) -> str:
    """The hash of every file that decides what the policy does; of a server what it says of its own.

    `source` is what `policies.model.load_model` takes, `tokenizer` what a Pi0 would be loaded with. Raises
    CheckpointError, PolicyServerError.
    """
    if is_server(source):
        from policies.remote import server_sha256

        return server_sha256(source)
    files = FileDigests() if digests is None else digests
    folder = local_folder(source)
    container = open_container(folder)
    if not container.is_pi0:
        return read_folder(folder).sha256(files)
    from policies.pi0.loading import deciding_files

    return files_sha256(deciding_files(container, tokenizer), files)
