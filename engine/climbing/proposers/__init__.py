"""Which candidates are tried next: `proposer` has the interface, and a file for each kind.

`neighbourhoods` is the engine's own: a population of hill climbers, each as in `climber`.
`optuna_sampler` asks Optuna, which it imports where it is used. May import `spaces` and NumPy.
"""
