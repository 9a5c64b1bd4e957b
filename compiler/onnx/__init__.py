"""ONNX files into the compiler's own graph: `program.import_onnx`."""
