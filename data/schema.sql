-- The trial store. Each version below is applied once, in order, inside one transaction (data/migrations.py); a released version is
-- never edited: what changes is added as the next one. Times are UTC, of the server's clock. JSON columns hold one document each.

-- version 1: runs, steps, trials, commands, events, measurements, artifacts

CREATE MACRO utc_now() AS make_timestamp(epoch_us(now()));

CREATE TABLE runs (
    run_id        VARCHAR PRIMARY KEY,
    created_at    TIMESTAMP NOT NULL,
    updated_at    TIMESTAMP NOT NULL,
    status        VARCHAR NOT NULL CHECK (status IN ('running', 'cancelling', 'cancelled', 'done', 'failed')),
    settings      JSON NOT NULL,
    state         JSON,
    state_version INTEGER NOT NULL,
    error         VARCHAR
);

-- One row for each committed step of a search: whoever inserts (run_id, version) first has won the compare-and-swap.
CREATE TABLE steps (
    run_id  VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    step_id VARCHAR NOT NULL,
    "at"      TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id, version)
);

CREATE TABLE trials (
    run_id         VARCHAR NOT NULL,
    trial          INTEGER NOT NULL,
    phase          INTEGER NOT NULL,
    architecture   VARCHAR NOT NULL,
    status         VARCHAR NOT NULL CHECK (status IN ('proposed', 'running', 'trained', 'over_limit', 'failed', 'cancelled')),
    latency_ms     DOUBLE,
    latency_p10_ms DOUBLE,
    latency_p90_ms DOUBLE,
    latency_source VARCHAR,
    accuracy       DOUBLE,
    final_accuracy DOUBLE,
    reward         DOUBLE,
    reason         VARCHAR,
    parameters     BIGINT,
    flops          BIGINT,
    created_at     TIMESTAMP NOT NULL,
    finished_at    TIMESTAMP,
    PRIMARY KEY (run_id, trial)
);

-- Work that a step asks for: compile, measure, train. `claim_id` is the claim under way, so that a repeated claim counts once.
CREATE TABLE commands (
    command_id   VARCHAR PRIMARY KEY,
    run_id       VARCHAR NOT NULL,
    trial        INTEGER,
    kind         VARCHAR NOT NULL,
    payload      JSON NOT NULL,
    status       VARCHAR NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'stopping', 'stopped')),
    attempts     INTEGER NOT NULL,
    worker       VARCHAR,
    claim_id     VARCHAR,
    heartbeat_at TIMESTAMP,
    result       JSON,
    error        VARCHAR,
    created_at   TIMESTAMP NOT NULL,
    finished_at  TIMESTAMP
);

CREATE TABLE events (
    run_id   VARCHAR NOT NULL,
    seq      BIGINT NOT NULL,
    event_id VARCHAR NOT NULL,
    "at"       TIMESTAMP NOT NULL,
    level    VARCHAR NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
    trial    INTEGER,
    message  VARCHAR NOT NULL,
    data     JSON NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE measurements (
    measurement_id VARCHAR PRIMARY KEY,
    architecture   VARCHAR NOT NULL,
    device         VARCHAR NOT NULL,
    precision      VARCHAR NOT NULL,
    threads        INTEGER NOT NULL,
    seq_len        INTEGER NOT NULL,
    median_ms      DOUBLE NOT NULL,
    p10_ms         DOUBLE,
    p90_ms         DOUBLE,
    runs           INTEGER NOT NULL,
    source         VARCHAR NOT NULL CHECK (source IN ('measured', 'predicted', 'published')),
    "at"             TIMESTAMP NOT NULL,
    run_id         VARCHAR,
    trial          INTEGER
);

CREATE TABLE artifacts (
    artifact_id VARCHAR PRIMARY KEY,
    sha256      VARCHAR NOT NULL,
    name        VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,
    size        BIGINT NOT NULL,
    run_id      VARCHAR NOT NULL,
    trial       INTEGER,
    created_at  TIMESTAMP NOT NULL
);

-- version 2: requests of users, paused runs, when a command was begun

CREATE TABLE requests (
    run_id     VARCHAR NOT NULL,
    seq        BIGINT NOT NULL,
    request_id VARCHAR NOT NULL,
    "at"       TIMESTAMP NOT NULL,
    kind       VARCHAR NOT NULL,
    "values"   JSON NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE runs_with_pause (
    run_id        VARCHAR PRIMARY KEY,
    created_at    TIMESTAMP NOT NULL,
    updated_at    TIMESTAMP NOT NULL,
    status        VARCHAR NOT NULL CHECK (status IN ('running', 'paused', 'cancelling', 'cancelled', 'done', 'failed')),
    settings      JSON NOT NULL,
    state         JSON,
    state_version INTEGER NOT NULL,
    error         VARCHAR
);
INSERT INTO runs_with_pause SELECT * FROM runs;
DROP TABLE runs;
ALTER TABLE runs_with_pause RENAME TO runs;

ALTER TABLE commands ADD COLUMN started_at TIMESTAMP;

-- version 3: an architecture's sizes as columns, so that trials can be filtered and grouped by them without reading their names again

CREATE MACRO ffn_mean_of(written) AS list_avg(TRY_CAST(string_split(regexp_extract(written, '-F([\d,]+)', 1), ',') AS INTEGER[]));
CREATE MACRO size_of(written, letter) AS TRY_CAST(regexp_extract(written, '(^|-)' || letter || '(\d+)', 2) AS INTEGER);

ALTER TABLE trials ADD COLUMN layers INTEGER;
ALTER TABLE trials ADD COLUMN hidden_size INTEGER;
ALTER TABLE trials ADD COLUMN ffn_mean DOUBLE; -- mean FFN size of its layers
UPDATE trials SET layers = size_of(architecture, 'L'), hidden_size = size_of(architecture, 'H'), ffn_mean = ffn_mean_of(architecture);

-- version 4: searches for several devices, and for less memory and energy

-- A trial's latency on each device of its run. That on the run's first device is in `trials` too.
CREATE TABLE latencies (
    run_id         VARCHAR NOT NULL,
    trial          INTEGER NOT NULL,
    device         VARCHAR NOT NULL,
    latency_ms     DOUBLE NOT NULL,
    latency_p10_ms DOUBLE,
    latency_p90_ms DOUBLE,
    latency_source VARCHAR NOT NULL,
    memory_mb      DOUBLE, -- the most that its process held at once
    energy_mj      DOUBLE, -- of one inference, with the ends of an interval
    energy_low_mj  DOUBLE,
    energy_high_mj DOUBLE,
    PRIMARY KEY (run_id, trial, device)
);

INSERT INTO latencies BY NAME
SELECT run_id, trial, coalesce(settings->>'device', 'host') AS device, latency_ms, latency_p10_ms, latency_p90_ms,
       coalesce(latency_source, 'measured') AS latency_source
FROM trials JOIN runs USING (run_id) WHERE latency_ms IS NOT NULL;

ALTER TABLE trials ADD COLUMN model_mb DOUBLE; -- of the weights in its bundle
ALTER TABLE trials ADD COLUMN memory_mb DOUBLE; -- these two on the run's first device
ALTER TABLE trials ADD COLUMN energy_mj DOUBLE;
