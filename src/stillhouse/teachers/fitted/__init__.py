"""Teachers that come ready and take rows as they were read: fitted objects, native files, ONNX."""
