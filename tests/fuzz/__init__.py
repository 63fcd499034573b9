"""Broken and hostile images by the thousand: `engine` runs them, `targets` are what is tried, `flips` mounts them."""
