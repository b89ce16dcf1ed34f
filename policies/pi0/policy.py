"""A Pi0 or Pi0.5 as a `policies.model.Model`: pictures and joints in, un-normalised actions out.

Order as in openpi (`policy_config.py`, `transforms.py`): normalise the state, resize the pictures,
tokenise, fill up; then the flow; then un-normalise, and where LeRobot trained it, make relative
actions absolute. What is above (key names, units, slices) is the embodiment's, what is below the
sampler's.
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests, files_sha256
from policies.checkpoint.evidence import Evidence
from policies.embodiment_choice import Chosen
from policies.model import Interface, Timings
from policies.pi0.pictures import stacked
from policies.pi0.prompt import Prompt, Tokenizer, prompt_text, tokenise
from policies.pi0.sampling import Array32, Guide, NetworkInputs, Sampler
from policies.pi0.settings import Pi0Settings
from policies.rtc import Leftover, RawChunk, guided
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]


class Pi0Policy:
    """A loaded Pi0. Made by `policies.pi0.loading.load_pi0`.

    `files` decide what it does (for its hash). `seed` fixes the noise: the n-th chunk of the n-th
    episode then starts from the same noise in every process. `chosen` is the embodiment that a
    robot's values have to come through; None: the checkpoint's own keys are the robot's.
    """

    def __init__(
        self,
        settings: Pi0Settings,
        sampler: Sampler,
        tokenizer: Tokenizer,
        evidence: Evidence,
        *,
        files: tuple[Path, ...] = (),
        seed: int | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        self.settings = settings
        self.sampler = sampler
        self.evidence = evidence
        self.chosen = chosen
        self.timings = Timings()
        self.raw: RawChunk | None = None
        self.tokenizer = tokenizer
        self._files = files
        self._seed = seed
        self._episodes = 0
        self._generator = np.random.default_rng(seed)
        self._delta = settings.delta
        self._prompts: dict[str, Prompt] = {}
        self._pool = ThreadPoolExecutor(max_workers=len(settings.views), thread_name_prefix="view")

    @property
    def kind(self) -> str:
        return self.settings.kind

    @property
    def interface(self) -> Interface:
        return self.settings.interface

    @property
    def means(self) -> Mapping[str, Array]:
        """The state in the middle of the training's."""
        return {self.settings.state_key: self.settings.state.back(np.zeros(self._state_size))}

    @property
    def chunk(self) -> int:
        return self.settings.horizon

    @property
    def n_action_steps(self) -> int:
        return self.settings.n_action_steps

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how it runs."""
        settings = self.settings
        notes = [
            f"on {self.sampler.device}, {self.sampler.acceleration}",
            f"chunks of {settings.horizon} ({settings.horizon_source})",
            f"pictures padded as {settings.pad} ({settings.pad_source})",
        ]
        still = np.flatnonzero(settings.state.still & (settings.state.low != 0.0))  # 0: filled up
        if len(still):
            notes.append(f"state values {', '.join(map(str, still))} never moved in training")
        return (*notes, *settings.doubts)

    def relative_to_state(self, mask: npt.NDArray[np.bool_]) -> None:
        """Say which actions are relative to the state, where an embodiment undoes that and knows."""
        self._delta = np.asarray(mask, np.bool_)

    def reset(self) -> None:
        """A new episode: with a seed, the noise of the n-th one since it was loaded."""
        self.raw = None
        self._episodes += 1
        if self._seed is not None:
            self._generator = np.random.default_rng((self._seed, self._episodes))

    def reseed(self, seed: int) -> None:
        """See `policies.model.Model`. Wins over the seed that it was loaded with."""
        self._seed, self._episodes = seed, 0

    def sha256(self, digests: FileDigests) -> str:
        """The hash of every file that decides what it does."""
        return files_sha256(self._files, digests)

    # --- predicting ------------------------------------------------------------------------------

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> Array:
        """One chunk [T, A] in the checkpoint's units. A view that is not given is masked."""
        started = None if noise is None else np.asarray(noise, np.float32)[None]
        chunks = self._predict(values, task, started, leftover)
        return np.asarray(chunks[0])

    def samples(
        self, values: Mapping[str, npt.NDArray[Any]], task: str, noise: npt.NDArray[np.float32]
    ) -> Array:
        """Several chunks [B, T, A] for one observation, one for each noise [B, T, A_model]."""
        return self._predict(values, task, np.asarray(noise, np.float32), None)

    def draw(self, count: int = 1) -> Array32:
        """Noise [count, T, A_model], the next of this episode."""
        shape = (count, self.settings.horizon, self.settings.width)
        return self._generator.standard_normal(shape, np.float32)

    def inputs(self, values: Mapping[str, npt.NDArray[Any]], task: str) -> NetworkInputs:
        """What the network sees of `values`: the views that are there, in the network's order."""
        settings = self.settings
        given = [key for key in settings.views if key in values]
        if not given:
            raise CheckpointError(
                f"{settings.name} was shown no picture.",
                "Every view of the model is masked, or the cameras have other names.",
                f"Its views are {', '.join(settings.views)}: --rename VIEW=CAMERA.",
            )
        state = settings.state.forward(np.asarray(values[settings.state_key]).reshape(-1))
        prompt = self._prompt(task, state)
        filled = np.zeros(settings.state_width, np.float32)
        filled[: len(state)] = state[: len(filled)]
        # A masked view gives nothing to anything: it is left out, which is the same and faster.
        return NetworkInputs(
            pixels=stacked([values[k] for k in given], settings.side, settings.pad, self._pool),
            views=np.ones(len(given), np.bool_),
            ids=prompt.ids,
            words=prompt.mask,
            state=filled,
        )

    def _predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        noise: Array32 | None,
        leftover: Leftover | None,
    ) -> Array:
        settings = self.settings
        began_ns = time.monotonic_ns()
        prepared = self.sampler.prepare(self.inputs(values, task))
        state = np.asarray(values[settings.state_key], np.float64).reshape(-1)
        guide = None if leftover is None else self._guide(leftover, state)
        started = self.draw() if noise is None else noise
        ready_ns = self._computed_ns()
        chunks = self.sampler.sample(prepared, started, settings.steps, guide)
        inferred_ns = self._computed_ns()
        actions = settings.action.back(chunks[..., : settings.action_size])
        offset = self._offset(state)
        if settings.adds_state:
            actions[..., : len(offset)] += offset
        self.raw = RawChunk(chunks[0], offset.astype(np.float32) if self._delta.any() else None)
        self.timings = Timings(
            ready_ns - began_ns, inferred_ns - ready_ns, time.monotonic_ns() - inferred_ns
        )
        return actions

    def _computed_ns(self) -> int:
        self.sampler.synchronize()
        return time.monotonic_ns()

    def _offset(self, state: Array) -> Array:
        """What relative actions are relative to [A]: the state where they are, else 0."""
        offset = np.zeros(len(self._delta))
        count = min(len(offset), len(state))
        offset[:count] = np.where(self._delta[:count], state[:count], 0.0)
        return offset

    def _guide(self, leftover: Leftover, state: Array) -> Guide:
        """The pull towards what is left of the chunk before (`policies.rtc`)."""
        settings, width = self.settings, len(self._delta)
        scale = np.ones(width, np.float32)
        known = min(width, settings.action.size)
        scale[:known] = settings.action.scale[:known]
        based = leftover.rebased(
            self._offset(state).astype(np.float32), self._delta, np.maximum(scale, 1e-8)
        )
        pull = based.pull(settings.horizon, settings.width)
        there = pull._replace(
            target=self.sampler.pulled(pull.target), weights=self.sampler.pulled(pull.weights)
        )
        return lambda x, v, t: guided(x, v, t, there)

    def _prompt(self, task: str, state: Array) -> Prompt:
        text = prompt_text(task, self.settings.prompt, state)
        found = self._prompts.get(text)
        if found is None:
            found = tokenise(self.tokenizer, text, self.settings.prompt)
            if found.cut:
                raise _too_long(task, found.cut, self.settings)
            # A Pi0.5's prompt changes with every pose; only the last is worth keeping.
            self._prompts = {text: found}
        return found

    @property
    def _state_size(self) -> int:
        return self.settings.interface.inputs[self.settings.state_key].shape[0]


def _too_long(task: str, cut: int, settings: Pi0Settings) -> CheckpointError:
    return CheckpointError(
        f"The task {task!r} is {cut} tokens too long for this {settings.kind}, which reads "
        f"{settings.prompt.length}.",
        "openpi would cut off its end, in a Pi0.5 the joints' own, without a word."
        if settings.prompt.pi05
        else "openpi would cut off its end without a word.",
        "Say it in fewer words: --task.",
    )
