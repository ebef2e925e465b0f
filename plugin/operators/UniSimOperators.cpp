#include "UniSimOperators.h"

namespace UniSimPlugin {

int getOperatorsVersion() {
    return 2;
}

} // namespace UniSimPlugin
