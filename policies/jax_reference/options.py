"""What `robotd ckpt verify --against jax` can be told; imports nothing that takes time."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--against` and what goes with it."""
    group = parser.add_argument_group("beside another implementation (Pi0 and Pi0.5)")
    group.add_argument(
        "--against", choices=("jax",), help="run both and compare them stage by stage"
    )
    group.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="of both (f32)")
    group.add_argument("--device", default="auto", help="torch's word for it (auto)")
    group.add_argument("--steps", type=int, default=10, help="Euler steps (10)")
    group.add_argument("--seed", type=int, default=0, help="of the made-up inputs (0)")
    group.add_argument("--inputs", type=Path, metavar="NPZ", help="recorded inputs instead")
