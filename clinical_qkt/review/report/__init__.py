"""A summary, told to people: ``report.html`` with its figures, and what the terminal shows."""

from clinical_qkt.review.report.page import write
from clinical_qkt.review.report.terminal import print_per_class, print_transfer
from clinical_qkt.review.report.words import percent, points, verdict_sentence

__all__ = ["percent", "points", "print_per_class", "print_transfer", "verdict_sentence", "write"]
