"""The peers' side: each module runs in the peers' own environment and imports nothing of TuneRL."""
