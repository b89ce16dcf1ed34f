"""An episode in the plant with the policy's whiskers: the same control, gate, executor and twin as everywhere.

The plan that is drawn is the executor's own, taken from where control finds it, and it is executed beforehand by the
twin's function on a model of its own: plant, control and judge do not notice.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from config.schema import Config
from daemon.control.exchange import Plan
from learning.episode import PolicyDriver
from learning.evaluate import TwinJudge
from learning.pictures import Pictures
from learning.whiskers.answers import Answers, words_of
from learning.whiskers.numbers import ChunkNumbers, Points, rmse_m
from learning.whiskers.sheaf import Sheaf
from learning.whiskers.watched import WatchedPolicy
from learning.world import LockStepWorld, Tick
from policies.plan import Chunk
from robotd.clock import NS_PER_S
from robotd.states import State, Verdict
from sim.twin.apply import TwinBody, obstacles, placements
from sim.twin.drive import drives
from sim.twin.mirror import Mirror
from sim.twin.roll import Rolled, fingertips_m, roll
from sim.view.compose import CameraPicture, Caption
from sim.view.seen import Seen, packed

OnMoment = Callable[[Seen], None]


class Followed:
    """One plan that is being followed: what was expected of it, and what came."""

    def __init__(self, expected: Rolled, tick_ns: int) -> None:
        self._from_ns = expected.times_ns[0]
        self._tick_ns = tick_ns
        self._tips = expected.tips_m
        self._numbers: list[int] = []
        self._real: list[Points] = []

    def see(self, at_ns: int, tips: Points) -> None:
        """The fingertips [arms, 3] at a tick; one that the plan says nothing of does not count."""
        number = round((at_ns - self._from_ns) / self._tick_ns)  # deadlines are rounded
        if 0 <= number < self._tips.shape[1]:
            self._numbers.append(number)
            self._real.append(tips)

    @property
    def rmse_m(self) -> float | None:
        """How far the arm was from where the twin expected it; None before it was followed."""
        if len(self._numbers) < 2:
            return None
        return rmse_m(self._tips[:, self._numbers], np.array(self._real).swapaxes(0, 1))


class WhiskerDriver:
    """Lets a policy move the arm of a world and draws what it is about to do."""

    def __init__(
        self,
        policy: WatchedPolicy,
        world: LockStepWorld,
        judge: TwinJudge,
        on_moment: OnMoment,
        latency_ns: int = 0,
        pictures: Pictures | None = None,
    ) -> None:
        self.chunks: list[ChunkNumbers] = []
        self._policy = policy
        self._judge = judge
        self._driver = PolicyDriver(policy, world, judge, latency_ns, pictures)
        self._pictures = pictures
        self._on_moment = on_moment
        self._body = _body(world.config)
        self._mirror = Mirror(self._body)
        self._sheaf = Sheaf()
        self._plan_id = -1
        self._began_ns = 0
        self._followed: Followed | None = None
        self._before: Chunk | None = None
        self._tick_ns = NS_PER_S // world.config.control.tick_hz

    def begin(self, world: LockStepWorld) -> Tick:
        """Take the arm."""
        tick = self._driver.begin(world)
        self._began_ns = int(tick["deadline_ns"])
        return tick

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        """Look at a tick; see `learning.episode.Driver`."""
        self._judge.core.observe(tick)
        now_ns = int(tick["deadline_ns"])
        self._mirror.update(now_ns, True, tick["applied_rad"], tick["present_position_rad"])
        self._body.place(tick["present_position_rad"])
        tips = fingertips_m(self._body)
        if self._followed is not None:
            self._followed.see(now_ns, tips)
        done = self._driver.after(world, tick)
        plan = world.exchange.newest_plan
        if plan is not None and plan.id != self._plan_id:
            self._plan_id = plan.id
            self._planned(plan, tick, tips)
        if world.is_row(tick):
            self._sheaf.go(tips)
            self._on_moment(self._moment(world, tick))
        return done

    def finish(self) -> None:
        """The episode is over: the last plan's figures are known."""
        self._close_followed()

    def _planned(self, plan: Plan, tick: Tick, tips: Points) -> None:
        """A plan was judged: execute it in the twin before the arm does, and compare it with the one before."""
        self._close_followed()
        said = self._policy.ear.said
        state = self._mirror.state
        if said is None or state is None or said.observation_ns != plan.observation_ns:
            return
        passed = plan.verdict is Verdict.PASS
        now_ns = int(tick["deadline_ns"])
        path = plan.trajectory
        rolled = roll(self._body, path, state, now_ns, path.end_ns, self._tick_ns)
        self._followed = Followed(rolled, self._tick_ns) if passed else None
        answers = Answers(self._body, said)
        self._sheaf.say(answers.drawn(rolled.tips_m, passed))
        chunk = Chunk(plan.id, 0, said.observation_ns, self._policy.step_ns, said.chunk)
        at_s = (now_ns - self._began_ns) / NS_PER_S
        self.chunks.append(answers.numbers(chunk, self._before, tips, at_s, passed))
        self._before = chunk

    def _close_followed(self) -> None:
        if self._followed is not None and self.chunks:
            self.chunks[-1] = replace(self.chunks[-1], plan_rmse_m=self._followed.rmse_m)
        self._followed = None

    def _moment(self, world: LockStepWorld, tick: Tick) -> Seen:
        now_ns = int(tick["deadline_ns"])
        cameras = []
        names = self._policy.fit.cameras
        frames = [self._pictures.at(name, now_ns) for name in names] if self._pictures else []
        for name, frame in zip(names, frames, strict=False):
            rgb = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
            cameras.append(packed(CameraPicture(name, rgb, 0.0)))
        caption = Caption(
            robot=self._policy.model.kind,
            simulated=True,
            state=State(tick["state"]),
            detail=f"{(now_ns - self._began_ns) / NS_PER_S:.1f} s",
            note=words_of(self.chunks[-1] if self.chunks else None),
        )
        position_rad = tuple(tick["present_position_rad"])
        truth = tuple(float(value) for value in world.plant.data.qpos)
        return Seen(position_rad, truth, self._sheaf.lines(), tuple(cameras), caption)


def _body(config: Config) -> TwinBody:
    return TwinBody(placements(config), obstacles(config), drives(config))
