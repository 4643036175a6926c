"""Processes of this program: how one ends when the process that started it is gone."""
