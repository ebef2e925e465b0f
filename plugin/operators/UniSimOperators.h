#ifndef UNISIM_OPERATORS_H_
#define UNISIM_OPERATORS_H_

namespace UniSimPlugin {

/**
 * The version of the fused operators in this library, which are registered with torch when it is loaded. It
 * rises when an operator is added or its arguments change; model files say which version they need.
 */
int getOperatorsVersion();

} // namespace UniSimPlugin

#endif // UNISIM_OPERATORS_H_
