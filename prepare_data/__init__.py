"""From annotated photos to training packs: readers, sampling, mining and the Seanlinx layout."""
