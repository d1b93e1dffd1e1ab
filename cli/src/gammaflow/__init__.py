"""The developer's command line: ./run demo, test, check, up, down, status, logs, sql, topics, doctor, bench."""
