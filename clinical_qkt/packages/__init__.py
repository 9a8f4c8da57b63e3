"""What sites exchange: models in folders, as data and never as code."""
