"""Measuring: the main job over seeds (``main_job``), and methods against each other (``compare``)."""

from clinical_qkt.core.threads import one_thread

one_thread()  # before anything that a benchmark imports: figures and times are those of one thread
