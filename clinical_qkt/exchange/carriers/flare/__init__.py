"""NVIDIA FLARE as a carrier: a job is one short sweep that moves sealed parcels, and never a wait."""
