"""The process that makes a bundle's other forms: `python -m app.bundles.exporter JOB`, started by `app.bundles.exports`.

JOB is a JSON object: `settings` of the run, `model` (the bundle's model.json), `weights` (SHA-256), `out`. The page hands it all that it needs,
as a page that has the store to itself leaves it to no other process. Standard output is what `pocketformer export --json` prints.
"""

import json
import sys
from pathlib import Path

from app.terminal import Progress
from data.errors import exit_status_of
from engine.settings import Settings
from engine.shipped import export_model


def main() -> None:
    job = json.loads(sys.argv[1])
    settings = Settings.from_dict(job["settings"])
    print(json.dumps(export_model(settings, job["model"], job["weights"], Path(job["out"]), Progress().log)))


if __name__ == "__main__":
    sys.exit(exit_status_of("pocketformer", main))
