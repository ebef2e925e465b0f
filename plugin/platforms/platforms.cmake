# Libraries for the platforms that share OpenMM's ComputeContext: the kernel in common/, compiled once for each, and a
# factory.  Neither is needed: a platform without one is served through ContextImpl.
set(common_dir "${CMAKE_SOURCE_DIR}/plugin/platforms/common")
set(kernel_file "${common_dir}/kernels/moveUniSimData.cc")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${kernel_file}")
file(READ "${kernel_file}" moveUniSimData)
configure_file("${common_dir}/CommonUniSimKernelSources.cpp.in"
    "${CMAKE_BINARY_DIR}/CommonUniSimKernelSources.cpp" @ONLY)

function(unisim_common_platform target folder)
    file(GLOB sources CONFIGURE_DEPENDS "${common_dir}/*.cpp" "${CMAKE_SOURCE_DIR}/plugin/platforms/${folder}/*.cpp")
    unisim_platform(${target} ${sources} "${CMAKE_BINARY_DIR}/CommonUniSimKernelSources.cpp")
    target_include_directories(${target} PRIVATE "${common_dir}")
    # OpenMM's headers of the platform include each other without a folder
    target_include_directories(${target} SYSTEM PRIVATE "${UNISIM_OPENMM_DIR}/include/openmm/${folder}")
    target_link_directories(${target} PRIVATE "${UNISIM_OPENMM_DIR}/lib/plugins")
endfunction()

# ---- OpenCL: needs its headers and loader (Debian: opencl-headers ocl-icd-opencl-dev) ----
if(NOT UNISIM_OPENCL STREQUAL "OFF")
    find_package(OpenCL QUIET)
    find_library(UNISIM_OPENMM_OPENCL OpenMMOpenCL PATHS "${UNISIM_OPENMM_DIR}/lib/plugins" NO_DEFAULT_PATH)
    if(OpenCL_FOUND AND UNISIM_OPENMM_OPENCL)
        unisim_common_platform(OpenMMUniSimOpenCL opencl)
        target_link_libraries(OpenMMUniSimOpenCL PRIVATE OpenMMOpenCL OpenCL::OpenCL)
        target_link_options(OpenMMUniSimOpenCL PRIVATE "LINKER:-z,defs" "LINKER:--allow-shlib-undefined")
    elseif(UNISIM_OPENCL STREQUAL "ON")
        message(FATAL_ERROR "UNISIM_OPENCL is ON, and OpenCL's headers or loader were not found; install them "
            "(Debian: apt-get install opencl-headers ocl-icd-opencl-dev).")
    endif()
endif()

# ---- CUDA: needs cuda.h only; device code is compiled by NVRTC when a Context is made ----
# libOpenMMCUDA comes with the wheel openmm-cuda-13. Without it, its names stay open: where OpenMM has a CUDA platform
# they are in the process, since OpenMM loads its plugins with global visibility; elsewhere nothing asks for them.
if(NOT UNISIM_CUDA STREQUAL "OFF")
    find_path(UNISIM_CUDA_INCLUDE NAMES cuda.h HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
        "${UNISIM_TORCH_DIR}/../nvidia/cu13" PATH_SUFFIXES include)
    find_library(UNISIM_OPENMM_CUDA OpenMMCUDA PATHS "${UNISIM_OPENMM_DIR}/lib/plugins" NO_DEFAULT_PATH)
    if(UNISIM_CUDA_INCLUDE)
        unisim_common_platform(OpenMMUniSimCUDA cuda)
        target_include_directories(OpenMMUniSimCUDA SYSTEM PRIVATE "${UNISIM_CUDA_INCLUDE}")
        target_link_options(OpenMMUniSimCUDA PRIVATE "LINKER:-z,lazy" "LINKER:--allow-shlib-undefined")
        if(UNISIM_OPENMM_CUDA)
            target_link_libraries(OpenMMUniSimCUDA PRIVATE OpenMMCUDA)
        endif()
    elseif(UNISIM_CUDA STREQUAL "ON")
        message(FATAL_ERROR "UNISIM_CUDA is ON, and cuda.h was not found; set CUDA_HOME to the CUDA toolkit.")
    endif()
endif()

# ---- HIP: needs hip/hip_runtime.h only (Debian: libamdhip64-dev); as for CUDA, OpenMM's own names stay open ----
if(NOT UNISIM_HIP STREQUAL "OFF")
    find_path(UNISIM_HIP_INCLUDE NAMES hip/hip_runtime.h HINTS ENV ROCM_PATH PATHS /opt/rocm PATH_SUFFIXES include)
    if(UNISIM_HIP_INCLUDE)
        unisim_common_platform(OpenMMUniSimHIP hip)
        target_compile_definitions(OpenMMUniSimHIP PRIVATE __HIP_PLATFORM_AMD__)
        target_include_directories(OpenMMUniSimHIP SYSTEM PRIVATE "${UNISIM_HIP_INCLUDE}")
        target_link_options(OpenMMUniSimHIP PRIVATE "LINKER:-z,lazy" "LINKER:--allow-shlib-undefined")
    elseif(UNISIM_HIP STREQUAL "ON")
        message(FATAL_ERROR "UNISIM_HIP is ON, and hip/hip_runtime.h was not found; set ROCM_PATH to ROCm.")
    endif()
endif()
