"""Atomic writes, locks between processes and streams of work in threads."""
