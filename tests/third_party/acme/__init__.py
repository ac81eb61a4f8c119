"""What Acme adds to onnx-surgery."""
