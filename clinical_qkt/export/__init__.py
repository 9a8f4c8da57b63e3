"""Models for other programs: TorchScript, ONNX and a MONAI bundle, with their input contract."""
