"""TuneRL: tunes the hyperparameters of reinforcement-learning agents."""
