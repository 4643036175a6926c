"""AP, recall and false positives on one's own annotated photos."""
