"""The statements behind `data.explore`. `CHOSEN` goes ahead of all that name `chosen`; `%words` are filled in there, `$names` by `data.sql`."""

CHOSEN = """
asked AS MATERIALIZED (
    SELECT run_id, created_at AS began, settings->>'strategy' AS strategy, (settings->>'latency_ms')::DOUBLE AS target_ms,
           coalesce(settings->>'accuracy', 'trained') AS accuracy_by
    FROM runs WHERE (settings->>'task') = $task AND (settings->>'device') = $device
), chosen AS (
    SELECT trials.*, asked.* EXCLUDE (run_id) FROM trials JOIN asked USING (run_id) WHERE %conditions
)"""

SUBJECTS = """
SELECT (settings->>'task'), (settings->>'device'), count(*), coalesce(sum(trials), 0)::BIGINT
FROM runs LEFT JOIN (SELECT run_id, count(*) AS trials FROM trials GROUP BY run_id) USING (run_id)
WHERE (settings->>'task') IS NOT NULL AND (settings->>'device') IS NOT NULL
GROUP BY 1, 2 ORDER BY max(created_at) DESC LIMIT 200"""

STAMP = """
SELECT count(*) || ' ' || coalesce(max(updated_at)::VARCHAR, '')
FROM runs WHERE (settings->>'task') = $task AND (settings->>'device') = $device"""

RUNS = """
SELECT run_id, coalesce(settings->>'strategy', ''), coalesce(trials, 0)
FROM runs LEFT JOIN (SELECT run_id, count(*) AS trials FROM trials GROUP BY run_id) USING (run_id)
WHERE (settings->>'task') = $task AND (settings->>'device') = $device ORDER BY created_at DESC, run_id DESC LIMIT $limit"""

OVERVIEW = """
SELECT count(*), count(DISTINCT run_id), count(latency_ms), count(accuracy) FILTER (latency_ms IS NOT NULL),
       count(*) FILTER (status = 'trained'), count(*) FILTER (status = 'over_limit'), count(*) FILTER (status = 'failed'),
       count(*) FILTER (status = 'cancelled'), arg_max(target_ms, began),
       min(latency_ms), max(latency_ms), min(accuracy), max(accuracy), min(layers), max(layers), min(hidden_size), max(hidden_size),
       min(ffn_mean), max(ffn_mean), coalesce(string_agg(DISTINCT latency_source, ' and '), ''),
       coalesce(string_agg(DISTINCT accuracy_by, ' and '), '')
FROM chosen"""

FRONT = """
, best AS (
    SELECT run_id, trial FROM (
        SELECT run_id, trial, accuracy, max(accuracy) OVER (
            ORDER BY latency_ms, accuracy DESC, trial ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS best_of_faster
        FROM chosen WHERE accuracy IS NOT NULL AND latency_ms <= coalesce($limit_ms, latency_ms)
    )
    WHERE best_of_faster IS NULL OR accuracy > best_of_faster
)
SELECT %point FROM chosen JOIN best USING (run_id, trial) ORDER BY latency_ms LIMIT $limit"""

_IN_WINDOW = "latency_ms BETWEEN $xlow AND $xhigh AND accuracy BETWEEN $ylow AND $yhigh"
_COLUMN = "least(floor((latency_ms - $xlow) / ($xhigh - $xlow) * $columns), $columns - 1)::INTEGER"

DENSITY = f"""
SELECT {_COLUMN}, least(floor((accuracy - $ylow) / ($yhigh - $ylow) * $rows), $rows - 1)::INTEGER, count(*)
FROM chosen WHERE {_IN_WINDOW} GROUP BY 1, 2"""

POINTS = f"SELECT %point FROM chosen WHERE {_IN_WINDOW} LIMIT $limit"

UNSCORED = f"""
SELECT status, {_COLUMN}, count(*) FROM chosen
WHERE accuracy IS NULL AND latency_ms BETWEEN $xlow AND $xhigh GROUP BY 1, 2 ORDER BY 1, 2"""

RECORDS = """
, longest AS (SELECT run_id FROM chosen WHERE accuracy IS NOT NULL GROUP BY run_id ORDER BY count(*) DESC, run_id DESC LIMIT $runs)
SELECT run_id, trial, latency_ms, accuracy FROM (
    SELECT run_id, trial, latency_ms, accuracy, max(accuracy) OVER (
        PARTITION BY run_id, floor(latency_ms / $limit_ms * $steps) ORDER BY trial ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before
    FROM chosen WHERE accuracy IS NOT NULL AND latency_ms <= $limit_ms AND run_id IN (FROM longest)
)
WHERE before IS NULL OR accuracy > before ORDER BY run_id, trial"""

LINES = """
, scored AS (SELECT run_id, trial, accuracy, hash(run_id || trial) AS chance FROM chosen WHERE accuracy IS NOT NULL),
drawn AS (
    (SELECT run_id, trial FROM scored ORDER BY accuracy DESC, chance LIMIT $best)
    UNION (SELECT run_id, trial FROM scored ORDER BY chance LIMIT $limit - $best)
)
SELECT %point FROM chosen JOIN drawn USING (run_id, trial) ORDER BY accuracy"""

GROUPS = """
SELECT %x AS x, %y AS y, count(*), avg(%value), CASE WHEN $upwards THEN max(%value) ELSE min(%value) END
FROM chosen WHERE %value IS NOT NULL AND x IS NOT NULL AND y IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"""

SUMS = """
, decided AS (
    SELECT unnest([{'decision': 'layers', 'option': layers::DOUBLE}, {'decision': 'hidden_size', 'option': hidden_size::DOUBLE},
                   {'decision': 'ffn_mean', 'option': %ffn}], recursive := true),
           hash(run_id || trial) % $folds AS fold, %value AS value
    FROM chosen WHERE %value IS NOT NULL
)
SELECT decision, option, fold, count(*), sum(value), sum(value * value) FROM decided WHERE option IS NOT NULL GROUP BY 1, 2, 3"""

ROWS = "SELECT %point FROM chosen ORDER BY %order LIMIT $limit"

KNOWN = """
SELECT architecture, avg(accuracy), stddev_samp(accuracy), count(*), coalesce(settings->>'accuracy', 'trained') AS accuracy_by
FROM trials JOIN runs USING (run_id)
WHERE (settings->>'task') = $task AND (settings->>'teacher') = $teacher AND accuracy IS NOT NULL
GROUP BY architecture, accuracy_by ORDER BY max(trials.created_at) DESC, architecture LIMIT $limit"""

ACCURACIES = """
SELECT settings->>'task', coalesce(settings->>'accuracy', 'trained'), count(*), avg(accuracy), stddev_samp(accuracy), avg(final_accuracy),
       stddev_samp(final_accuracy), count(final_accuracy)
FROM trials JOIN runs USING (run_id) WHERE architecture = $architecture AND accuracy IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 50"""
