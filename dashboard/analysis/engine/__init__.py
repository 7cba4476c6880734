"""The engine: one thread owns the model and answers the asks of everybody else."""
