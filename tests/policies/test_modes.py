"""How chunks are played is decided once, from the flag, the configuration and the policy."""

import msgspec
import pytest

from config import loader
from config.schema import Policy
from policies.modes import Mode, choose
from policies.plan import Ensemble
from policies.rtc import Schedule
from robotd.errors import CheckpointError


def shipped(**changed: object) -> Policy:
    return msgspec.structs.replace(loader.load(simulated=True).config.policy, **changed)


def test_the_shipped_configuration_plays_twenty_actions_and_guides_what_can_be_guided() -> None:
    settings = shipped()
    assert settings.n_action_steps == 20
    assert choose("", "", settings, guidable=False) == Mode()
    mode = choose("", "", settings, guidable=True)
    assert mode.rtc is not None and mode.words == "rtc"
    assert (mode.rtc.horizon, mode.rtc.schedule, mode.rtc.max_weight) == (10, Schedule.LINEAR, 10)


@pytest.mark.parametrize("guidable", [True, False])
def test_a_flag_wins_over_the_configuration(guidable: bool) -> None:
    settings = shipped(mode="ensemble")
    assert choose("chunk", "", settings, guidable=guidable).words == "chunk"
    assert choose("", "", settings, guidable=guidable).words == "ensemble newest:0.01"
    assert choose("", "oldest:0.1", settings, guidable=guidable).ensemble == Ensemble("oldest", 0.1)
    assert choose("ensemble", "oldest", shipped(), guidable=guidable).ensemble == Ensemble("oldest")


@pytest.mark.parametrize(
    ("mode", "ensemble", "said"),
    [("rtc", "", "cannot"), ("chunk", "newest", "does not go"), ("fast", "", "no mode 'fast'")],
)
def test_what_does_not_go_is_refused_with_the_way_out(mode: str, ensemble: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        choose(mode, ensemble, shipped(), guidable=False)
    assert caught.value.likely and caught.value.do
