"""From what is seen to a chunk: Euler steps through the flow, in torch, on whatever device there is.

Pictures and text are seen once, then the expert is asked once per step, from noise at t = 1 to
actions at t = 0. A guide may change the velocity at each step (real-time chunking).

On a GPU two CUDA graphs take the launches off the CPU: one for the prefix, one for a step; between
steps Python only adds. `compile="full"` compiles both first. Whatever cannot be had is left out, and
`acceleration` says so. On the CPU everything runs as it is written.
"""

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policies.checkpoint.pi0_layout import Pi0Dims, Pi0Kind
from policies.device import keep_float32
from policies.model import Compile
from policies.pi0 import network
from policies.pi0.network import Moment, Prefix
from policies.pi0.sampling import Array32, Guide, NetworkInputs, flow_times
from policies.pi0.weights import Tensor, Weights, load_weights
from robotd.errors import CheckpointError


class TorchSampler:
    """robotd's own network. Make it with `load`."""

    def __init__(
        self, weights: Weights, dims: Pi0Dims, device: str, mode: Compile = "auto"
    ) -> None:
        self.weights = weights
        self.dims = dims
        self.device = device
        self._moments: dict[int, list[Moment]] = {}
        self._captured: _Captured | None = None
        self._prefix: Any = network.prefix
        self._velocity: Any = network.velocity
        self._graphs = device.startswith("cuda") and mode != "off"
        keep_float32(torch)  # also beside bf16: norms, softmax, states and actions are in float32
        self.acceleration = "as written"
        if mode in ("graphs", "full") and not device.startswith("cuda"):
            self.acceleration = f"as written: {mode} needs a GPU"
        elif mode == "full":
            self._compile()

    def _compile(self) -> None:
        options = {"dynamic": False, "fullgraph": True, "mode": "max-autotune-no-cudagraphs"}
        self._prefix = torch.compile(network.prefix, **options)
        self._velocity = torch.compile(network.velocity, **options)
        self.acceleration = "compiled"

    def prepare(self, inputs: NetworkInputs) -> tuple[Tensor, ...]:
        """Pixels, text, mask and state on the device."""
        ids = torch.from_numpy(inputs.ids)
        text = network.text_tokens(self.weights, self.dims, ids)
        tokens = np.repeat(inputs.views, self.dims.image_tokens)
        mask = torch.from_numpy(np.concatenate([tokens, inputs.words]))
        pixels = torch.from_numpy(inputs.pixels)
        state = torch.from_numpy(inputs.state)
        return tuple(t.to(self.device, non_blocking=True) for t in (pixels, text, mask, state))

    def synchronize(self) -> None:
        """Return when the device has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def pulled(self, values: npt.NDArray[np.float32]) -> Tensor:
        """A guide's array on the device."""
        return torch.from_numpy(np.array(values)).to(self.device)

    def sample(
        self, prepared: tuple[Tensor, ...], noise: Array32, steps: int, guide: Guide | None = None
    ) -> Array32:
        """Chunks [B, T, A] in model space from noise [B, T, A]."""
        with torch.inference_mode():
            try:
                x = self._sample(prepared, noise, steps, guide)
            except torch.OutOfMemoryError as error:
                raise _out_of_memory(self.device, error) from error
            chunks: Array32 = x.to("cpu").numpy()  # waits for the device
        return chunks

    def _sample(
        self, prepared: tuple[Tensor, ...], noise: Array32, steps: int, guide: Guide | None
    ) -> Tensor:
        x = torch.from_numpy(np.array(noise, np.float32)).to(self.device)
        moments = self._times(steps)
        if self._graphs:
            self._capture(prepared, x, moments)
        captured = self._captured
        if captured is not None:
            captured.see(prepared)
        else:
            prefix = self._see(prepared, noise.shape[1])
        for t, moment in zip(flow_times(steps), moments, strict=True):
            if captured is not None:
                v = captured.step(x, moment)
            else:
                v = self._velocity(self.weights, self.dims, prefix, moment, x)
            if guide is not None:
                v = guide(x, v, t)
            x = x - v / steps
        return x

    def _see(self, prepared: tuple[Tensor, ...], horizon: int) -> Prefix:
        prefix: Prefix = self._prefix(self.weights, self.dims, horizon, *prepared)
        return prefix

    # --- parts that tests and verification look at -----------------------------------------------

    def tokens(self, prepared: tuple[Tensor, ...]) -> Array32:
        """The prefix's tokens [P, width] before the language model."""
        with torch.inference_mode():
            pixels, text, *_ = prepared
            tokens = network.prefix_tokens(self.weights, self.dims, pixels, text)
            found: Array32 = tokens.to("cpu", torch.float32).numpy()
        return found

    def velocity(self, prepared: tuple[Tensor, ...], actions: Array32, t: float) -> Array32:
        """The flow's velocity [B, T, A] at noisy `actions` [B, T, A] and time `t`."""
        with torch.inference_mode():
            x = torch.from_numpy(np.array(actions, np.float32)).to(self.device)
            prefix = network.prefix(self.weights, self.dims, x.shape[1], *prepared)
            moment = self._at([t])[0]
            v = network.velocity(self.weights, self.dims, prefix, moment, x)
            found: Array32 = v.to("cpu").numpy()
        return found

    # --- time ------------------------------------------------------------------------------------

    def _times(self, steps: int) -> list[Moment]:
        if steps not in self._moments:
            self._moments[steps] = self._at(flow_times(steps))
        return self._moments[steps]

    def _at(self, times: list[float]) -> list[Moment]:
        width, adaptive = self.dims.expert_width, self.weights.adaptive
        at = torch.tensor(times, dtype=torch.float64)
        if adaptive is not None:
            rows = network.modulations(adaptive, at, width).to(self.device)
            return [Moment(None, row) for row in rows]
        return [Moment(row, None) for row in network.time_embedding(at, width).to(self.device)]

    # --- graphs ----------------------------------------------------------------------------------

    def _capture(self, prepared: tuple[Tensor, ...], x: Tensor, moments: list[Moment]) -> None:
        """Have graphs for inputs of these shapes; without them where they cannot be had."""
        shapes = (tuple(t.shape for t in prepared), tuple(x.shape))
        if self._captured is not None and self._captured.shapes == shapes:
            return
        self._captured = None
        compiled = self.acceleration.startswith("compiled")
        try:
            self._captured = _Captured(self, shapes, prepared, x, moments[0])
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # torch._dynamo's and CUDA's own are kinds of it
            torch.cuda.synchronize(self.device)
            reason = str(error).strip().splitlines()[0][:120]
            if compiled:
                self._prefix, self._velocity = network.prefix, network.velocity
                self.acceleration = f"not compiled: {reason}"
                self._capture(prepared, x, moments)
                return
            self._graphs = False
            self.acceleration = f"as written: no CUDA graph ({reason})"
            return
        if self.acceleration == "as written":
            self.acceleration = "CUDA graphs"
        elif compiled:
            self.acceleration = "compiled, CUDA graphs"


class _Captured:
    """Two CUDA graphs over memory that stays where it is: what is new is copied into it."""

    def __init__(
        self,
        sampler: TorchSampler,
        shapes: tuple[Any, ...],
        prepared: tuple[Tensor, ...],
        x: Tensor,
        moment: Moment,
    ) -> None:
        self.shapes = shapes
        self._inputs = tuple(t.clone() for t in prepared)
        self._x = x.clone()
        self._moment = Moment(*(None if part is None else part.clone() for part in moment))
        horizon = x.shape[1]
        stream = torch.cuda.Stream(sampler.device)
        stream.wait_stream(torch.cuda.current_stream(sampler.device))
        with torch.cuda.stream(stream):  # cuBLAS and compilation happen before anything is recorded
            for _ in range(2):
                prefix = sampler._see(self._inputs, horizon)
                sampler._velocity(sampler.weights, sampler.dims, prefix, self._moment, self._x)
        torch.cuda.current_stream(sampler.device).wait_stream(stream)
        self._prefix_graph, self._step_graph = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._prefix_graph):
            self._prefix = sampler._see(self._inputs, horizon)
        with torch.cuda.graph(self._step_graph, pool=self._prefix_graph.pool()):
            self._v = sampler._velocity(
                sampler.weights, sampler.dims, self._prefix, self._moment, self._x
            )

    def see(self, prepared: tuple[Tensor, ...]) -> None:
        """Replay the prefix on new inputs."""
        for own, new in zip(self._inputs, prepared, strict=True):
            own.copy_(new)
        self._prefix_graph.replay()

    def step(self, x: Tensor, moment: Moment) -> Tensor:
        """Replay one step. What is returned is overwritten by the next."""
        self._x.copy_(x)
        for own, new in zip(self._moment, moment, strict=True):
            if own is not None and new is not None:
                own.copy_(new)
        self._step_graph.replay()
        return self._v


def load_sampler(
    tensors: MutableMapping[str, Tensor],
    kind: Pi0Kind,
    dims: Pi0Dims,
    *,
    device: str,
    dtype: Any,
    mode: Compile = "auto",
    name: str = "this Pi0",
) -> TorchSampler:
    """Load weights strictly onto `device`, taking them out of `tensors`. Raises CheckpointError."""
    try:
        return TorchSampler(
            load_weights(tensors, kind, dims, device, dtype, name), dims, device, mode
        )
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(device, error) from error


def _out_of_memory(device: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"The memory of {device} was not enough: {str(error).splitlines()[0]}",
        "Another program took memory since the policy was loaded, or the estimate was too low.",
        "Look at nvidia-smi, close what is not needed and load the policy again; policy.compile off "
        "takes least.",
    )
