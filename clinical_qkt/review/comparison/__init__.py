"""``clinical-qkt compare``: finished transfers side by side, without the MLflow UI.

``runs`` finds the transfers and ``reading`` checks their summaries, ``figures`` names what is compared,
``printing`` and ``drawing`` show it, ``command`` goes through these in order.
"""
