#ifndef UNISIM_PROCESSOR_H_
#define UNISIM_PROCESSOR_H_

/**
 * Which x86-64 level this processor has, feature by feature: the levels' own names are known to GCC from
 * version 12 on only.
 */
namespace UniSimPlugin {

#if defined(__x86_64__)

inline bool hasLevel3() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

inline bool hasLevel4() {
    return hasLevel3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

#endif

} // namespace UniSimPlugin

#endif // UNISIM_PROCESSOR_H_
