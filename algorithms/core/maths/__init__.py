"""Mathematics of the algorithms as pure functions of arrays."""
