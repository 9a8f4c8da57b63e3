"""``clinical-qkt check``: whether a stage can run, told before anything is computed."""
