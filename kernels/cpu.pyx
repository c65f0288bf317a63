"""What this CPU can run, asked of the CPU itself."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    static int cpu_v3(void) { __builtin_cpu_init(); return __builtin_cpu_supports("avx2")
        && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
    static int cpu_v4(void) { return cpu_v3() && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"); }
    #else
    static int cpu_v3(void) { return 0; }
    static int cpu_v4(void) { return 0; }
    #endif
    """
    bint cpu_v3()
    bint cpu_v4()


def levels():
    """The x86-64 levels this CPU can run, best first (psABI names; v2 is taken for granted)."""
    return ["v4"] * cpu_v4() + ["v3"] * cpu_v3() + ["v2"]
