"""What may be shown or committed: what is known to be harmless, and nothing else."""
