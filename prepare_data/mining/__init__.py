"""Hard examples: samples chosen by what the cascade itself finds."""
