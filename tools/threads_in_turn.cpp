/* OpenMM's ThreadPool without threads: tasks run in turn, as coroutines, in the thread that waits for them.
 *
 * Built and loaded by in_turn.py, which says what for.  The class is OpenMM's, from its header; this is
 * another body of it, for a pool whose tasks and waits all come from one thread, as those of the CPU platform
 * do.
 */
#include "openmm/internal/ThreadPool.h"
#include <memory>
#include <ucontext.h>

using namespace OpenMM;

/** A worker that is a coroutine: it has a stack of its own, and goes on where it stopped. */
class ThreadPool::ThreadData {
public:
    ThreadData(ThreadPool& pool, int index) : pool(pool), index(index), stack(new char[STACK_BYTES]) {
    }
    /** Let the next run() begin the pool's task. */
    void begin() {
        getcontext(&worker);
        worker.uc_stack.ss_sp = stack.get();
        worker.uc_stack.ss_size = STACK_BYTES;
        worker.uc_link = &waiting;
        // makecontext hands on nothing but ints.
        const auto address = reinterpret_cast<unsigned long long>(this);
        makecontext(&worker, reinterpret_cast<void (*)()>(body), 2, static_cast<unsigned int>(address >> 32),
                static_cast<unsigned int>(address));
        ended = false;
    }
    /** Go on until the task ends or stops at syncThreads(). */
    void run() {
        if (!ended)
            swapcontext(&waiting, &worker);
    }
    /** Give control back to who called run(). */
    void stop() {
        swapcontext(&worker, &waiting);
    }

private:
    static void body(unsigned int high, unsigned int low) {
        auto* self = reinterpret_cast<ThreadData*>(static_cast<unsigned long long>(high) << 32 | low);
        ThreadPool& pool = self->pool;
        if (pool.currentTask != nullptr)
            pool.currentTask->execute(pool, self->index);
        else
            pool.currentFunction(pool, self->index);
        self->ended = true;
    }
    static const size_t STACK_BYTES = 4 << 20;
    ThreadPool& pool;
    const int index;
    const std::unique_ptr<char[]> stack;
    bool ended = true;
    ucontext_t waiting, worker;
};

ThreadPool::ThreadPool(int number)
        : isDeleted(false), numThreads(number < 1 ? 1 : number), waitCount(0), currentTask(nullptr) {
    for (int i = 0; i < numThreads; i++)
        threadData.push_back(new ThreadData(*this, i));
}

ThreadPool::~ThreadPool() {
    for (ThreadData* worker : threadData)
        delete worker;
}

int ThreadPool::getNumThreads() const {
    return numThreads;
}

void ThreadPool::execute(Task& task) {
    currentTask = &task;
    for (ThreadData* worker : threadData)
        worker->begin();
}

void ThreadPool::execute(std::function<void(ThreadPool&, int)> task) {
    currentTask = nullptr;
    currentFunction = std::move(task);
    for (ThreadData* worker : threadData)
        worker->begin();
}

void ThreadPool::syncThreads() {
    threadData[waitCount]->stop();
}

void ThreadPool::waitForThreads() {
    for (waitCount = 0; waitCount < numThreads;
            waitCount++) // here waitCount is the index of the running worker
        threadData[waitCount]->run();
}

void ThreadPool::resumeThreads() {
    // The next waitForThreads() runs them.
}
