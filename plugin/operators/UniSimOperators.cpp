#include "UniSimOperators.h"

namespace UniSimPlugin {

int getOperatorsVersion() {
    return 3;
}

} // namespace UniSimPlugin
