// The part of the CUDA driver's interface that runs kernels. It is declared here and looked up in the
// driver's library when a solve first asks for it: no toolkit is needed to build, and no driver to import.
// Names, types and numbers are those of cuda.h, the driver's own header; where there is one, a test compares
// them.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

#include "bindings/checks.hpp"

namespace flashode::bindings {

using CUresult = int;
using CUdevice = int;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;

inline constexpr CUresult CUDA_SUCCESS = 0;
inline constexpr CUresult CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720;

enum CUdevice_attribute : int {
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK = 111,
};

enum CUfunction_attribute : int {
    CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
    CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
};

enum CUlaunchAttributeID : int { CU_LAUNCH_ATTRIBUTE_COOPERATIVE = 2 };

// There a union of which this is one member, and its size.
struct CUlaunchAttributeValue {
    alignas(void*) int cooperative;
    char pad[64 - sizeof(int)];
};

struct CUlaunchAttribute {
    CUlaunchAttributeID id;
    CUlaunchAttributeValue value;
};

struct CUlaunchConfig {
    unsigned gridDimX, gridDimY, gridDimZ;
    unsigned blockDimX, blockDimY, blockDimZ;
    unsigned sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute* attrs;
    unsigned numAttrs;
};

// A function of the driver, null where an optional one is not there.
template <class... Arguments>
class DriverFunction {
   public:
    enum class Presence : bool { required, optional };

    DriverFunction(void* library, const char* name, Presence presence = Presence::required)
        : function_(reinterpret_cast<CUresult (*)(Arguments...)>(dlsym(library, name))) {
        if (function_ == nullptr && presence == Presence::required) {
            throw std::runtime_error(std::string("the CUDA driver has no function ") + name);
        }
    }

    explicit operator bool() const { return function_ != nullptr; }
    CUresult operator()(Arguments... arguments) const { return function_(arguments...); }

   private:
    CUresult (*function_)(Arguments...);
};

// The driver, started. Its library stays open: what it began is not to be undone.
class CudaDriver {
    void* library_;
    DriverFunction<int*> cuDriverGetVersion_;

   public:
    // Supported by the driver, as 1000 major + 10 minor.
    const int version;

    // Some names end in _v2, as cuda.h has it: without it they are functions of an older interface.
    DriverFunction<unsigned> cuInit{library_, "cuInit"};
    DriverFunction<CUresult, const char**> cuGetErrorName{library_, "cuGetErrorName"};
    DriverFunction<CUresult, const char**> cuGetErrorString{library_, "cuGetErrorString"};
    DriverFunction<int*> cuDeviceGetCount{library_, "cuDeviceGetCount"};
    DriverFunction<CUdevice*, int> cuDeviceGet{library_, "cuDeviceGet"};
    DriverFunction<int*, CUdevice_attribute, CUdevice> cuDeviceGetAttribute{library_, "cuDeviceGetAttribute"};
    DriverFunction<std::size_t*, CUdevice> cuDeviceTotalMem{library_, "cuDeviceTotalMem_v2"};
    DriverFunction<CUcontext*, CUdevice> cuDevicePrimaryCtxRetain{library_, "cuDevicePrimaryCtxRetain"};
    DriverFunction<CUcontext> cuCtxPushCurrent{library_, "cuCtxPushCurrent_v2"};
    DriverFunction<CUcontext*> cuCtxPopCurrent{library_, "cuCtxPopCurrent_v2"};
    DriverFunction<CUmodule*, const void*> cuModuleLoadData{library_, "cuModuleLoadData"};
    DriverFunction<CUmodule> cuModuleUnload{library_, "cuModuleUnload"};
    DriverFunction<CUfunction*, CUmodule, const char*> cuModuleGetFunction{library_, "cuModuleGetFunction"};
    DriverFunction<int*, CUfunction_attribute, CUfunction> cuFuncGetAttribute{library_, "cuFuncGetAttribute"};
    DriverFunction<CUfunction, CUfunction_attribute, int> cuFuncSetAttribute{library_, "cuFuncSetAttribute"};
    DriverFunction<int*, CUfunction, int, std::size_t> cuOccupancyMaxActiveBlocksPerMultiprocessor{
        library_, "cuOccupancyMaxActiveBlocksPerMultiprocessor"};
    DriverFunction<const CUlaunchConfig*, CUfunction, void**, void**> cuLaunchKernelEx{library_,
                                                                                       "cuLaunchKernelEx"};
    DriverFunction<CUstream> cuStreamSynchronize{library_, "cuStreamSynchronize"};

    // Since CUDA 12.4.
    using ParameterInfo = DriverFunction<CUfunction, std::size_t, std::size_t*, std::size_t*>;
    ParameterInfo cuFuncGetParamInfo{library_, "cuFuncGetParamInfo", ParameterInfo::Presence::optional};

    explicit CudaDriver(const std::string& library)
        : library_(opened(library)),
          cuDriverGetVersion_(library_, "cuDriverGetVersion"),
          version(supported_version()) {
        check(cuInit(0), "the CUDA driver does not start");
        int devices = 0;
        check(cuDeviceGetCount(&devices), "the CUDA driver does not count its devices");
        if (devices == 0) throw std::runtime_error("the CUDA driver has no device");
    }

    // Raises what the driver says of a failure, after what was attempted.
    template <class... Parts>
    void check(CUresult result, const Parts&... attempt) const {
        if (result == CUDA_SUCCESS) return;
        std::ostringstream message;
        (message << ... << attempt) << ": ";
        const char* name = nullptr;
        const char* text = nullptr;
        if (cuGetErrorName(result, &name) == CUDA_SUCCESS &&
            cuGetErrorString(result, &text) == CUDA_SUCCESS) {
            message << name << ", " << text;
        } else {
            message << "error " << result;
        }
        throw std::runtime_error(message.str());
    }

    CUdevice device(int index) const {
        CUdevice device = 0;
        check(cuDeviceGet(&device, index), "there is no CUDA device ", index);
        return device;
    }

    int attribute(int index, CUdevice_attribute attribute) const {
        int value = 0;
        check(cuDeviceGetAttribute(&value, attribute, device(index)), "asking CUDA device ", index,
              " for its attribute ", static_cast<int>(attribute));
        return value;
    }

    std::int64_t memory_bytes(int index) const {
        std::size_t bytes = 0;
        check(cuDeviceTotalMem(&bytes, device(index)), "asking CUDA device ", index, " for its memory");
        return static_cast<std::int64_t>(bytes);
    }

    // The context that torch too uses on a device. It is kept, as torch keeps it.
    CUcontext primary_context(int index) {
        const std::scoped_lock held(mutex_);
        const auto known = contexts_.find(index);
        if (known != contexts_.end()) return known->second;
        CUcontext context = nullptr;
        check(cuDevicePrimaryCtxRetain(&context, device(index)), "taking the context of CUDA device ", index);
        contexts_[index] = context;
        return context;
    }

   private:
    // Kernels have an argument of more than 4 KB.
    static constexpr int LEAST_VERSION = 12010;

    std::mutex mutex_;
    std::map<int, CUcontext> contexts_;

    static void* opened(const std::string& library) {
        void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) throw std::runtime_error(std::string("there is no CUDA driver: ") + dlerror());
        return handle;
    }

    // Asked before other functions are looked up: an old driver has not all of them.
    int supported_version() const {
        const auto text = [](int number) {
            return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
        };
        int number = 0;
        if (cuDriverGetVersion_(&number) != CUDA_SUCCESS) {
            throw std::runtime_error("the CUDA driver does not say its version");
        }
        if (number < LEAST_VERSION) {
            throw std::runtime_error("the CUDA driver is for CUDA " + text(number) + ", and " +
                                     text(LEAST_VERSION) + " or newer is needed");
        }
        return number;
    }
};

// Makes a device's context the calling thread's current one, for as long as it lives. Threads that torch made
// may have none, and torch's guard sets none where the device does not change.
class CurrentContext {
   public:
    CurrentContext(CudaDriver& driver, int device) : driver_(driver) {
        driver.check(driver.cuCtxPushCurrent(driver.primary_context(device)),
                     "entering the context of CUDA device ", device);
    }
    ~CurrentContext() {
        CUcontext context = nullptr;
        driver_.cuCtxPopCurrent(&context);
    }
    CurrentContext(const CurrentContext&) = delete;
    CurrentContext& operator=(const CurrentContext&) = delete;
    CurrentContext(CurrentContext&&) = delete;
    CurrentContext& operator=(CurrentContext&&) = delete;

   private:
    CudaDriver& driver_;
};

}  // namespace flashode::bindings
