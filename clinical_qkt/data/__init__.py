"""Datalists, the data that a federation is dealt from, generated images."""
