"""Serve a policy to other machines, in openpi's websocket protocol.

openpi-client connects to it unchanged; a robot of robotd takes it as --policy ws://HOST:PORT. The model
is loaded and warm before the port opens. Only this machine can reach it unless --host says otherwise,
and then it wants an API key. Ctrl-C or SIGTERM: what is being computed is answered first.
"""

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests
from policies.embodied import Conventional
from policies.embodiment import Adapter
from policies.embodiment_choice import Chosen
from policies.model import Model, ModelOptions, load_model
from policies.server.recording import Recording
from policies.server.service import PolicyService
from policies.server.worker import Worker
from robotd.errors import CheckpointError, ConfigError

API_KEY_VARIABLE = "ROBOTD_POLICY_API_KEY"
"""Where both ends look for the key when no option says it."""

log = logging.getLogger("serve-policy")

_LAST_ANSWER_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--policy", required=True, help="a checkpoint folder")
    parser.add_argument("--port", type=_port, default=8000, help="8000; 0: any that is free")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at")
    parser.add_argument(
        "--api-key",
        metavar="KEY|@FILE",
        help=f"what clients have to know (or ${API_KEY_VARIABLE}, which no list of processes shows)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep what is asked and answered"
    )
    parser.add_argument(
        "--fps", type=float, help="the policy's rate, when the checkpoint is silent"
    )
    parser.add_argument("--units", default="", help="degrees or range_m100_100, likewise")
    parser.add_argument("--device", default="auto", help="torch's word for it (auto)")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU (0: all cores)")
    parser.add_argument("--tokenizer", default="", help="a tokenizer's file or folder, for Pi0")
    parser.add_argument("--dtype", choices=("auto", "bf16", "f32"), default="auto", help="for Pi0")
    parser.add_argument(
        "--backend", choices=("torch", "jax"), default="torch", help="what computes a Pi0"
    )
    parser.add_argument("--num-steps", type=int, default=0, help="steps of the flow, for Pi0")
    parser.add_argument(
        "--embodiment", default="", metavar="NAME|FILE", help="what a Pi0 was trained on, likewise"
    )
    parser.add_argument(
        "--compile",
        choices=("auto", "off", "graphs", "full"),
        default="auto",
        help="how a GPU is made fast, for Pi0",
    )
    parser.add_argument("--json", action="store_true", help="say when it is ready as JSON")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return number


def run(args: argparse.Namespace) -> int:
    """Serve until a signal."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    key = read_key(args.api_key)
    refuse_open_door(args.host, key)
    recording = None if args.record is None else Recording(args.record)
    options = ModelOptions(
        fps=args.fps,
        units=args.units,
        device=args.device,
        threads=args.threads or os.cpu_count() or 1,
        tokenizer=args.tokenizer,
        dtype=args.dtype,
        num_steps=args.num_steps,
        compile=args.compile,
        embodiment=args.embodiment,
        backend=args.backend,
        told=lambda words: log.warning("%s", words),
    )
    asyncio.run(_serve(args, lambda: load_model(args.policy, options), key, recording))
    return 0


async def _serve(
    args: argparse.Namespace,
    load: Callable[[], Model],
    key: str,
    recording: Recording | None,
) -> None:
    worker = Worker()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    loading = asyncio.ensure_future(worker.do(lambda: warmed(load())))
    ending = asyncio.ensure_future(asked.wait())
    await asyncio.wait({loading, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        return  # the thread that loads is a daemon: it ends with the program
    model, sha256 = loading.result()
    service = PolicyService(model, sha256, worker, api_key=key, recording=recording)
    try:
        server = await service.listen(args.host, args.port)
    except OSError as error:
        raise ConfigError(
            f"{args.host} port {args.port} cannot be listened at: {error.strerror}.",
            "Another program has the port, or the address is not this machine's.",
            "Choose another: --port 8001 (0: any that is free).",
        ) from error
    _say(args, model, server.sockets[0].getsockname()[1])
    await ending
    await service.finish(_LAST_ANSWER_S)
    server.close(reason="the policy server ends")
    await server.wait_closed()
    worker.close()


def warmed(model: Model) -> tuple[Model, str]:
    """The model after its first prediction, which pays for compilation, and its hash.

    Raises CheckpointError when it gives no finite chunk.
    """
    chosen: Chosen | None = getattr(model, "chosen", None)
    if chosen is not None:  # its clients hold on to what was said relative to the state
        cast(Conventional, model).relative_to_state(Adapter(chosen.row).delta_mask)
    values: dict[str, npt.NDArray[Any]] = {}
    for name, feature in model.interface.inputs.items():
        if feature.type == "VISUAL":
            values[name] = np.full((*feature.shape[-2:], 3), 127, np.uint8)
        else:
            mean = model.means.get(name, np.zeros(feature.shape))
            values[name] = np.asarray(mean, np.float32).reshape(feature.shape)
    actions = model.predict(values, "")
    model.reset()
    if not np.isfinite(actions).all():
        raise CheckpointError(
            f"{model.interface.name} gave values that are no numbers for an average observation.",
            "Training diverged, or the statistics of its processors are wrong.",
            "Look closer: robotd ckpt verify. Or choose an earlier step of the training run.",
        )
    return model, model.sha256(FileDigests())


def _say(args: argparse.Namespace, model: Model, port: int) -> None:
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"ws://{host}:{port}"
    evidence = model.evidence
    if args.json:
        facts = {
            "url": url,
            "port": port,
            "kind": model.kind,
            "chunk": model.chunk,
            "fps": evidence.fps,
            "units": evidence.units,
            "inputs": list(model.interface.inputs),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(
            f"{model.kind} at {url}: {model.chunk} actions a chunk, {evidence.fps:g} a second "
            f"({evidence.fps_source}), {evidence.units} ({evidence.units_source})\n"
            f"  it is asked with: {', '.join(model.interface.inputs)}, prompt\n"
        )
    sys.stdout.flush()


def read_key(option: str | None) -> str:
    """The API key that the option, its file or the environment names; empty for none.

    Raises ConfigError for a file that cannot be read or holds nothing.
    """
    if option is None:
        return os.environ.get(API_KEY_VARIABLE, "").strip()
    if not option.startswith("@"):
        return option.strip()
    try:
        key = Path(option[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The API key's file {option[1:]} cannot be read: {error}.",
            "It is missing, or not yours to read.",
            "Write the key into it: one line.",
        ) from error
    if not key:
        raise ConfigError(
            f"The API key's file {option[1:]} is empty.",
            "The key was not written into it.",
            f"Write one into it, for example: {secrets.token_urlsafe(24)}",
        )
    return key


def refuse_open_door(host: str, key: str) -> None:
    """Raise ConfigError where anybody on the network could use the policy."""
    if key or is_loopback(host):
        return
    raise ConfigError(
        f"Without an API key a policy is not served at {host}.",
        "Whoever reaches the port could keep the GPU busy and read what a robot sees.",
        f"Name a key: --api-key @FILE, or {API_KEY_VARIABLE}={secrets.token_urlsafe(24)}; the same "
        "for the robot. Or serve this machine alone (--host 127.0.0.1) behind an SSH tunnel.",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
