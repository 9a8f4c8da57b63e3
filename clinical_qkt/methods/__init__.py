"""Ways to gain a class from other sites' models: QKT and its rivals, one file each, behind one interface."""
