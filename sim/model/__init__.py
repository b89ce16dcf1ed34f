"""The scene: SO-101 arms, table, block, bowl and cameras as MuJoCo models.

`sim.model.scene` is the door of this room: it builds the models that the plant, the twin and the
views use.
"""
