"""The worked example is tried on the summaries that the report's tests make."""

from tests.review.report.conftest import make as make
