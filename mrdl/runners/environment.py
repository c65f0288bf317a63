"""Environment variables of every task, on all runners."""
# a task uses one core; besides, a BLAS that has started threads could not be forked safely
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# each task allocates and frees vectors of megabytes: with 4 KB pages, page faults take a fifth of a round. pyarrow's own
# allocator keeps a tenth more for itself
MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
# modules that most tasks import; given by name, because runners must not import from the floors above
PRELOAD = ("mrdl.worker.answer", "mrdl.jobs")
