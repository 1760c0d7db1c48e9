"""Packs: who is in one, and the training iterations of the families of algorithms."""
