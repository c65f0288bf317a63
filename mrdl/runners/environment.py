"""What every task finds in its environment, whichever runner starts it."""
# one core a task is the cluster's business; a BLAS that starts threads would break the fork
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# vectors of megabytes come and go in each task: in pages of 4 KB, a fifth of a round is page faults
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# what most tasks import, by name: it stands above the runners
PRELOAD = ("mrdl.worker.answer", "mrdl.jobs")
