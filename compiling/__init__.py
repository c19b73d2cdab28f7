"""How hot loops are compiled, and where their machine code is kept, for any package."""
