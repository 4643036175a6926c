"""Commands on model folders: import, export, assemble."""
