#include "UniSimOperators.h"

namespace UniSimPlugin {

int getOperatorsVersion() {
    return 1;
}

} // namespace UniSimPlugin
