#include "UniSimTrust.h"
#include "internal/UniSimText.h"
#include "openmm/OpenMMException.h"
#include <mutex>
#include <set>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

mutex guard;
set<string> trusted;
UniSimTrust::Check askedCheck = nullptr;

} // namespace

void UniSimTrust::add(const string& hash) {
    lock_guard<mutex> lock(guard);
    trusted.insert(hash);
}

void UniSimTrust::setCheck(Check check) {
    lock_guard<mutex> lock(guard);
    askedCheck = check;
}

void UniSimTrust::require(const string& modelFile, const string& hash) {
    Check check;
    {
        lock_guard<mutex> lock(guard);
        if (trusted.find(hash) != trusted.end())
            return;
        check = askedCheck;
    }
    // The function may wait for Python, which may be waiting for this lock in another thread.
    string refusal = check != nullptr
                             ? check(modelFile, hash)
                             : "Model file '" + modelFile +
                                       "' is a program, and nothing vouches for it (SHA-256 " + hash +
                                       "); if you trust it, call UniSimTrust::add() with its SHA-256.";
    if (!refusal.empty())
        throw OpenMMException(toUtf8(refusal));
}

} // namespace UniSimPlugin
