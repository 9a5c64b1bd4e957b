"""One module a subcommand: `run(args) -> result` (the JSON object), `render(result) -> str` (the same, for reading)."""
