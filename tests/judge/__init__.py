"""Judges of a mount that are not the code which they judge, and what the tests need of them."""
