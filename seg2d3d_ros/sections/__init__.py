"""The sections of the configuration: every parameter, declared once."""
