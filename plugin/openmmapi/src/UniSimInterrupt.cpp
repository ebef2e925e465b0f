#include "internal/UniSimInterrupt.h"
#include <atomic>
#include <chrono>

namespace UniSimPlugin {

namespace {

using Clock = std::chrono::steady_clock;
const std::chrono::milliseconds INTERVAL(100);
std::atomic<bool (*)()> interruptCheck(nullptr);
thread_local Clock::time_point lastCheck;

} // namespace

UniSimInterrupted::UniSimInterrupted()
        : OpenMMException("The jump was interrupted; the System is where the last whole jump left it.") {
}

UniSimInterrupted::UniSimInterrupted(const std::string& message) : OpenMMException(message) {
}

void setUniSimInterruptCheck(bool (*check)()) {
    interruptCheck = check;
}

void throwIfUniSimInterrupted() {
    bool (*check)() = interruptCheck;
    Clock::time_point now = Clock::now();
    if (check == nullptr || now - lastCheck < INTERVAL)
        return;
    lastCheck = now;
    if (check())
        throw UniSimInterrupted();
}

} // namespace UniSimPlugin
