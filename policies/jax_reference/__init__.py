"""Pi0 and Pi0.5 a second time: the forward in plain `jax.numpy`, on openpi's own JAX tree.

Written from the papers' equations and the weights as they are stored, without a line shared with
`policies.pi0`: an error in one of the two shows as a difference between them. Two uses: `robotd ckpt
verify --against jax` proves parity on a person's own checkpoint and machine, and `policy.backend:
jax` runs it jitted. Nothing here is imported before somebody asks for JAX.
"""
