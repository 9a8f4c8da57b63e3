"""New models on the test images of sites that have the classes: measured there, and judged by at home."""
