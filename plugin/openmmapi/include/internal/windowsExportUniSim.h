#ifndef OPENMM_WINDOWSEXPORTUNISIM_H_
#define OPENMM_WINDOWSEXPORTUNISIM_H_

#ifdef _MSC_VER
#if defined(OPENMM_UNISIM_BUILDING_SHARED_LIBRARY)
#define OPENMM_EXPORT_UNISIM __declspec(dllexport)
#else
#define OPENMM_EXPORT_UNISIM __declspec(dllimport)
#endif
#else
#define OPENMM_EXPORT_UNISIM __attribute__((visibility("default")))
#endif

#endif // OPENMM_WINDOWSEXPORTUNISIM_H_
