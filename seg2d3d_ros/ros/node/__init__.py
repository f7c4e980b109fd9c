"""What every node has: lifecycle, parameters, QoS, diagnostics, logs, services, worker threads."""
