"""How a model runs: import, LP-Fusion, schedules, code generation, runtime, bundles, devices, measurement."""
