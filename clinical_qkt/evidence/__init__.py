"""What test images can and cannot show: intervals, false alarms, losses, base rates, and the verdict.

``intervals`` is the mathematics; ``rates`` and ``losses`` apply it to a model's answers; ``base_rates`` says
what they mean where the class is rarer; ``criteria`` holds them against the site's rule and decides.
"""
