"""Attacks on what leaves a site, to see whether it keeps its promises."""
