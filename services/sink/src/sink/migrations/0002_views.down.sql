DROP VIEW IF EXISTS v_latency;
DROP VIEW IF EXISTS v_flip_history;
DROP VIEW IF EXISTS v_exposure_latest;
