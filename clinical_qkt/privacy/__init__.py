"""Mechanisms with a stated epsilon, how several add up, and what cards say of them."""
