"""What a simulated camera is: where it sits, on which body, and how wide it sees."""

import mujoco


def view_identity(model: mujoco.MjModel, view: str) -> dict[str, str]:
    """Of the model's camera `view`: its body, its place on it (m; quaternion w x y z) and `fovy_deg`,
    the vertical field of view. As words, for an episode's sidecar."""
    camera = model.camera(view)
    number = camera.id
    return {
        "view": view,
        "body": str(model.body(int(model.cam_bodyid[number])).name),
        "pos_m": _words(model.cam_pos[number]),
        "quat_wxyz": _words(model.cam_quat[number]),
        "fovy_deg": f"{float(model.cam_fovy[number]):g}",
    }


def _words(values: object) -> str:
    return " ".join(f"{float(value):.4f}" for value in values)  # type: ignore[attr-defined]
