"""What a person is told of a policy's probe before the arm is its own, and the word that overrides."""

import argparse

from robotd.errors import StateError
from robotd.messages import PolicyStatus


def add_despite_probe(parser: argparse.ArgumentParser) -> None:
    """The option that takes a policy whose probe failed."""
    parser.add_argument(
        "--despite-probe",
        action="store_true",
        help="run it though its probe failed (robotd probe); --yes does not say so",
    )


def consent_probe(policy: PolicyStatus, args: argparse.Namespace) -> bool:
    """Say what is known of the policy's probe; whether it runs despite a failed one.

    Raises StateError for a failed one that nobody spoke up for.
    """
    if policy.probed in ("missing", "warn"):
        print(f"  probe: {policy.probe}")
        print(f"    {policy.probe_do}")
    if policy.probed != "fail":
        return False
    if not args.despite_probe:
        raise StateError(
            f"The policy was not started. Its probe {policy.probe}",
            "A probe lays what it says beside what people did; this one would not do it.",
            f"{policy.probe_do} Then probe it again; or say that you take it all the same: "
            "--despite-probe.",
        )
    print(f"  its probe {policy.probe}")
    print("  It runs all the same: you said --despite-probe. Keep a hand on the plug.")
    return True
