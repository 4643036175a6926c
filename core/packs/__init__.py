"""Training packs: RecordIO files of fixed-stride records with an index and a manifest. No MXNet."""
