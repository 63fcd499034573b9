"""How does the tree get into Linux? Only `operations` and `serve` import pyfuse3 and trio."""
