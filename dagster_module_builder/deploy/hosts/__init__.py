"""One host during a rollout: what is asked of it and written on it."""
