"""What the tuner must know of an algorithm: hyperparameters, checks, pack keys."""
