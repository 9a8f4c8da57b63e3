"""What carries parcels: a folder that all reach, or NVIDIA FLARE."""
