"""Acting in environments, and what is kept of it: rollouts, memories, replay."""
