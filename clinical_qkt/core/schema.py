"""What our JSON Schemas have in common."""

from __future__ import annotations

DIALECT = "https://json-schema.org/draft/2020-12/schema"


SHOWN = "x-default"
"""In a schema: what stands in the column of the default in place of the default itself."""
