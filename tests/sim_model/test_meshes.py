"""Light meshes: what they keep of the CAD and what they may not do."""

import numpy as np
import pytest

from robotd.errors import ModelError
from sim.model.assets import MESH_CELL_M, find_arm_assets, light_mesh_dir
from sim.model.meshes import bounding_box, cluster_vertices, read_stl, write_stl

CUBE_CORNERS = np.array(
    [[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)], dtype=np.float32
)
CUBE_FACES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)
CUBE = CUBE_CORNERS[CUBE_FACES]


def test_an_stl_that_is_written_reads_back_unchanged() -> None:
    assert np.array_equal(read_stl(write_stl(CUBE), "cube"), CUBE)


@pytest.mark.parametrize("cut", [0, 60, 83, 84, 400])
def test_a_cut_stl_is_refused_by_name(cut: int) -> None:
    with pytest.raises(ModelError, match="arm_part"):
        read_stl(write_stl(CUBE)[:cut], "arm_part")


def test_clustering_finer_than_the_mesh_changes_nothing_but_the_order() -> None:
    light = cluster_vertices(CUBE, 0.01)
    volume = np.einsum("ij,ij->i", light[:, 0], np.cross(light[:, 1], light[:, 2])).sum() / 6.0
    assert len(light) == 12
    assert volume == pytest.approx(1.0)  # the winding survived: a turned face would subtract


def test_clustering_coarser_than_the_mesh_leaves_no_triangle_of_no_area() -> None:
    assert len(cluster_vertices(CUBE, 3.0)) == 0


def test_light_meshes_keep_the_bounding_boxes_of_the_arm() -> None:
    assets = find_arm_assets()
    folder = light_mesh_dir(assets)
    triangles = light_triangles = 0
    for source in sorted(assets.mesh_dir.glob("*.stl")):
        full = read_stl(source.read_bytes(), source.name)
        light = read_stl((folder / source.name).read_bytes(), source.name)
        for before, after in zip(bounding_box(full), bounding_box(light), strict=True):
            assert np.abs(before - after).max() < MESH_CELL_M / 2, source.name
        triangles += len(full)
        light_triangles += len(light)
    assert light_triangles < triangles / 10
