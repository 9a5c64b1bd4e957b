"""The store's longer statements. `$names` are filled in by `data.sql.bind`; rows travel as one JSON array, unfolded by the server."""

from collections.abc import Collection
from dataclasses import fields

JSON_COLUMNS = frozenset({"settings", "state", "payload", "result", "data", "values"})

# Rows that a step writes are written only while the step's compare-and-swap still holds: see `Store.commit_step`.
ALIVE = "EXISTS (SELECT 1 FROM runs WHERE run_id = $run AND state_version = $expected)"

# Takes `$stale`, in microseconds. The server's clock alone is asked, so that workers on several machines agree.
STALE = "(heartbeat_at IS NULL OR heartbeat_at < utc_now() - to_microseconds($stale))"
FREE = f"(status = 'queued' OR (status = 'running' AND {STALE}))"

BEGIN_STEP = f"""
BEGIN;
INSERT INTO steps SELECT $run, $next, $step, utc_now() WHERE {ALIVE} ON CONFLICT DO NOTHING;
"""

UPSERT_TRIALS = f"""
INSERT INTO trials BY NAME
SELECT item.*, $run AS run_id, utc_now() AS created_at,
       CASE WHEN item.status IN ('trained', 'over_limit', 'failed', 'cancelled') THEN utc_now() END AS finished_at,
       size_of(item.architecture, 'L') AS layers, size_of(item.architecture, 'H') AS hidden_size, ffn_mean_of(item.architecture) AS ffn_mean
FROM (SELECT unnest(from_json($trials, '[{{"trial": "INTEGER", "phase": "INTEGER", "architecture": "VARCHAR", "status": "VARCHAR",
      "latency_ms": "DOUBLE", "latency_p10_ms": "DOUBLE", "latency_p90_ms": "DOUBLE", "latency_source": "VARCHAR", "accuracy": "DOUBLE",
      "final_accuracy": "DOUBLE", "reward": "DOUBLE", "reason": "VARCHAR", "parameters": "BIGINT", "flops": "BIGINT",
      "model_mb": "DOUBLE", "memory_mb": "DOUBLE", "energy_mj": "DOUBLE"}}]')) AS item)
WHERE {ALIVE}
ON CONFLICT (run_id, trial) DO UPDATE SET
    phase = excluded.phase, architecture = excluded.architecture, status = excluded.status, latency_ms = excluded.latency_ms,
    latency_p10_ms = excluded.latency_p10_ms, latency_p90_ms = excluded.latency_p90_ms, latency_source = excluded.latency_source,
    accuracy = excluded.accuracy, final_accuracy = excluded.final_accuracy, reward = excluded.reward, reason = excluded.reason,
    parameters = excluded.parameters, flops = excluded.flops, model_mb = excluded.model_mb,
    memory_mb = excluded.memory_mb, energy_mj = excluded.energy_mj,
    layers = excluded.layers, hidden_size = excluded.hidden_size, ffn_mean = excluded.ffn_mean,
    finished_at = CASE WHEN excluded.finished_at IS NULL THEN NULL ELSE coalesce(trials.finished_at, excluded.finished_at) END;
"""

# What `trials` says of the run's first device.
UPSERT_FIRST_LATENCIES = f"""
INSERT OR REPLACE INTO latencies BY NAME
SELECT run_id, trial, coalesce(settings->>'device', 'host') AS device, latency_ms, latency_p10_ms, latency_p90_ms,
       coalesce(latency_source, 'measured') AS latency_source, memory_mb, energy_mj
FROM trials JOIN runs USING (run_id)
WHERE run_id = $run AND trial IN $numbers AND latency_ms IS NOT NULL AND {ALIVE};
"""

UPSERT_LATENCIES = f"""
INSERT OR REPLACE INTO latencies BY NAME
SELECT item.*, $run AS run_id
FROM (SELECT unnest(from_json($latencies, '[{{"trial": "INTEGER", "device": "VARCHAR", "latency_ms": "DOUBLE", "latency_p10_ms": "DOUBLE",
      "latency_p90_ms": "DOUBLE", "latency_source": "VARCHAR", "memory_mb": "DOUBLE", "energy_mj": "DOUBLE", "energy_low_mj": "DOUBLE",
      "energy_high_mj": "DOUBLE"}}]')) AS item)
WHERE {ALIVE};
"""

INSERT_COMMANDS = f"""
INSERT INTO commands BY NAME
SELECT item.*, $run AS run_id, 'queued' AS status, 0 AS attempts, utc_now() AS created_at
FROM (SELECT unnest(from_json($commands,
      '[{{"command_id": "VARCHAR", "trial": "INTEGER", "kind": "VARCHAR", "payload": "JSON"}}]')) AS item)
WHERE {ALIVE}
ON CONFLICT DO NOTHING;
"""

STOP_COMMANDS = f"""
UPDATE commands SET finished_at = CASE status WHEN 'queued' THEN utc_now() END,
                    status = CASE status WHEN 'queued' THEN 'stopped' ELSE 'stopping' END
WHERE command_id IN $stop AND run_id = $run AND status IN ('queued', 'running') AND {ALIVE};
"""

# Two processes that take the same next number collide on the primary key, and the later one runs its script again: numbers
# follow the order of commits. An event that is there already (its answer was lost) is not written twice.
INSERT_EVENTS = """
INSERT INTO events BY NAME
SELECT item.* EXCLUDE (position), $run AS run_id, last + item.position AS seq, utc_now() AS "at"
FROM (SELECT unnest(from_json($events, '[{"event_id": "VARCHAR", "position": "BIGINT", "level": "VARCHAR", "trial": "INTEGER",
      "message": "VARCHAR", "data": "JSON"}]')) AS item),
     (SELECT coalesce(max(seq), 0) AS last FROM events WHERE run_id = $run)
WHERE NOT EXISTS (SELECT 1 FROM events WHERE run_id = $run AND event_id = item.event_id)"""

# The version is the guard of all statements before, so it moves last. A step does not take back a cancellation asked for meanwhile.
END_STEP = """
UPDATE runs SET state = $state, state_version = $next, error = $error, updated_at = utc_now(),
                settings = coalesce($settings, settings),
                status = CASE WHEN status = 'cancelling' AND $status IN ('running', 'paused') THEN status ELSE $status END
WHERE run_id = $run AND state_version = $expected;
COMMIT;
SELECT step_id = $step FROM steps WHERE run_id = $run AND version = $next;
"""

# Numbered as events are. Asking for more of a run that is over opens it again; its next step says whether it can go on.
INSERT_REQUEST = """
BEGIN;
INSERT INTO requests BY NAME
SELECT $run AS run_id, (SELECT coalesce(max(seq), 0) + 1 FROM requests WHERE run_id = $run) AS seq, $id AS request_id, utc_now() AS "at",
       $kind AS kind, $values AS "values"
WHERE EXISTS (SELECT 1 FROM runs WHERE run_id = $run) AND NOT EXISTS (SELECT 1 FROM requests WHERE request_id = $id);
UPDATE runs SET status = 'running', updated_at = utc_now()
WHERE run_id = $run AND $kind = 'extend' AND status IN ('done', 'failed', 'cancelled');
COMMIT;
SELECT 1 FROM runs WHERE run_id = $run;
"""

ASKED = """
SELECT DISTINCT run_id FROM runs LEFT JOIN requests USING (run_id)
WHERE status = 'cancelling' OR (status IN ('running', 'paused') AND seq > coalesce((state->>'requests')::BIGINT, 0))"""

# Nothing goes while a worker has a command of the run; the last statement then finds the run.
_REMOVABLE = """EXISTS (SELECT 1 FROM runs WHERE run_id = $run AND status IN ('done', 'failed', 'cancelled'))
AND NOT EXISTS (SELECT 1 FROM commands WHERE run_id = $run AND status IN ('running', 'stopping'))"""
REMOVE_RUN = f"""
BEGIN;
UPDATE measurements SET run_id = NULL, trial = NULL WHERE run_id = $run AND {_REMOVABLE};
{"".join(f"DELETE FROM {table} WHERE run_id = $run AND {_REMOVABLE};" for table in ("artifacts", "requests", "events", "latencies", "trials", "steps"))}
DELETE FROM commands WHERE run_id = $run AND {_REMOVABLE};
DELETE FROM runs WHERE run_id = $run AND {_REMOVABLE};
COMMIT;
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id = $run);
"""

# Of all runs, or of one: files listed, and the trained weights that only their command's result names.
ARTIFACT_HASHES = """
SELECT sha256 FROM artifacts WHERE $run IS NULL OR run_id = $run
UNION SELECT result->>'weights_sha256' FROM commands
WHERE kind = 'final_train' AND (result->>'weights_sha256') IS NOT NULL AND ($run IS NULL OR run_id = $run)"""

DURATIONS = """
SELECT kind, epoch(finished_at - started_at), settings->>'task',
       coalesce(CASE kind WHEN 'train' THEN settings->>'early_epochs' WHEN 'final_train' THEN settings->>'final_epochs' END, '0')::INTEGER,
       coalesce(settings->>'latency', '') <> 'predicted'
FROM commands JOIN runs USING (run_id)
WHERE commands.status = 'done' AND started_at IS NOT NULL AND finished_at > started_at
ORDER BY finished_at DESC LIMIT $limit"""

# Of `$device`; NULL: the run's first. A run's limits are its setting `latency_ms`, and for further devices `also`.
PARETO = """
FROM (
    SELECT trials.* EXCLUDE (latency_ms, latency_p10_ms, latency_p90_ms, latency_source, memory_mb, energy_mj),
           latencies.* EXCLUDE (run_id, trial), max(accuracy) OVER (
        ORDER BY latencies.latency_ms, accuracy DESC, trial ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS best_of_faster
    FROM trials JOIN latencies USING (run_id, trial), (
        SELECT coalesce($device, settings->>'device', 'host') AS wanted,
               CASE WHEN wanted = coalesce(settings->>'device', 'host') THEN (settings->>'latency_ms')::DOUBLE
                    ELSE ((settings->'also')::MAP(VARCHAR, DOUBLE))[wanted] END AS limit_ms
        FROM runs WHERE run_id = $run
    ) AS target
    WHERE run_id = $run AND device = wanted AND accuracy IS NOT NULL
          AND (NOT $feasible OR (status <> 'over_limit' AND latencies.latency_ms <= coalesce(limit_ms, latencies.latency_ms)))
)
WHERE best_of_faster IS NULL OR accuracy > best_of_faster
ORDER BY latency_ms LIMIT $limit"""

INSERT_MEASUREMENT = """
INSERT INTO measurements BY NAME
SELECT $id AS measurement_id, $architecture AS architecture, $device AS device, $precision AS precision, $threads AS threads,
       $seq_len AS seq_len, $median_ms AS median_ms, $p_ten_ms AS p10_ms, $p_ninety_ms AS p90_ms, $runs AS runs, $source AS source,
       utc_now() AS "at", $run AS run_id, $trial AS trial
ON CONFLICT DO NOTHING"""

INSERT_ARTIFACT = """
INSERT INTO artifacts BY NAME
SELECT $id AS artifact_id, $sha AS sha256, $name AS name, $kind AS kind, $size AS size, $run AS run_id, $trial AS trial,
       utc_now() AS created_at
ON CONFLICT DO NOTHING"""


def columns(record: type, without: Collection[str] = ()) -> str:
    """The columns of a record as a SELECT list; those named in `without` come back as NULL."""
    return ", ".join(f"NULL AS {name}" if name in without else f'"{name}"' for name in (field.name for field in fields(record)))
