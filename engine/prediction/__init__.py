"""Latency without the device: a roofline over the kernels of a model, calibrated on measurements where there are some."""
