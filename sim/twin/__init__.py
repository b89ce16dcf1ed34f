"""The twin: the arm thought through in MuJoCo beside the arm that moves.

`apply` puts joint angles and plans on the model (for the twin and for pictures), `preflight` judges a plan before it
moves the arm, `mirror` compares the arm with what its goals should do, and `python -m sim.twin` is the process.
"""
