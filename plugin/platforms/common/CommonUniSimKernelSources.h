#ifndef OPENMM_COMMONUNISIMKERNELSOURCES_H_
#define OPENMM_COMMONUNISIMKERNELSOURCES_H_

namespace UniSimPlugin {

/**
 * The texts of the files in the folder "kernels"; CMake writes the source file.
 */
class CommonUniSimKernelSources {
public:
    static const char* const moveUniSimData;
};

} // namespace UniSimPlugin

#endif // OPENMM_COMMONUNISIMKERNELSOURCES_H_
