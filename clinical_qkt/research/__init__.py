"""What a hospital does not run: simulated federations, rival methods, benchmarks, the demo."""
