"""What test images can and cannot show: from answers of a model to what a board decides on.

``intervals`` is the mathematics. ``losses``, ``base_rates`` and ``calibration_error`` apply it, ``criteria``
holds the figures against the site's rule and decides. ``abstention``, ``net_benefit``, ``precision_recall``,
``subgroups``, ``in_use`` and ``failures`` tell more of the same answers; ``gate`` and ``pictures`` are
about images of no class. ``parts`` are their types.
"""
