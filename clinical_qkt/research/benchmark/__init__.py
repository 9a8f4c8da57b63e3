"""Measuring: the main job over seeds (``main_job``), and methods against each other (``compare``)."""
