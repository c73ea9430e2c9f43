"""What keep_freed_memory() does for ours, for the Python peers: glibc keeps what was freed in place of giving it back and faulting it in anew."""

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 33), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 26)}
