"""Arguments → exit code: one module per command, imported only when that command runs."""
