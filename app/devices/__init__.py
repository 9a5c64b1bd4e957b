"""The Devices page's parts: the catalogue as rows, connected phones, adding a device, calibrating, and the latency estimator."""
