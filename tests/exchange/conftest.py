"""What tests of the exchange share."""

from tests.exchange.world import world

__all__ = ["world"]
