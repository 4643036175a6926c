"""Names of MXNet's distributed key-value stores; apart from `job`, since options are read before MXNet is imported."""

DIST_KVSTORES = ("dist_sync", "dist_async", "dist_sync_device")
