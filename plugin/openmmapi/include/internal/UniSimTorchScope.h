#ifndef OPENMM_UNISIMTORCHSCOPE_H_
#define OPENMM_UNISIMTORCHSCOPE_H_

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <cfenv>

namespace UniSimPlugin {

/**
 * Sets up this thread for torch while it lives, and then restores what was set before: denormal numbers are
 * zero, derivatives aren't recorded, and so many threads are used (0: as many as are set).
 */
class UniSimTorchScope {
public:
    explicit UniSimTorchScope(int numThreads)
            : threadsBefore(at::get_num_threads()),
              changesThreads(numThreads > 0 && numThreads != threadsBefore) {
        std::fegetenv(&environment);
        at::globalContext().setFlushDenormal(true);
        if (changesThreads)
            at::set_num_threads(numThreads);
    }
    ~UniSimTorchScope() {
        if (changesThreads)
            at::set_num_threads(threadsBefore);
        std::fesetenv(&environment);
    }
    UniSimTorchScope(const UniSimTorchScope&) = delete;
    UniSimTorchScope& operator=(const UniSimTorchScope&) = delete;

private:
    at::NoGradGuard noGrad;
    std::fenv_t environment;
    int threadsBefore;
    bool changesThreads;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMTORCHSCOPE_H_
