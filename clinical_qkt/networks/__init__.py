"""Networks: those that may be named on a card, what they are cut into, and what several are joined to."""
