"""Drives one experiment: `controller.py` is the loop, each other room has one job of it."""
