// A CUDA driver without a GPU: it notes how it is called, and fails where a test wants it to.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "bindings/cuda_driver.hpp"

using namespace flashode::bindings;

namespace {

constexpr CUresult CUDA_ERROR_INVALID_CONTEXT = 201;
constexpr CUresult CUDA_ERROR_LAUNCH_TIMEOUT = 702;
constexpr int DEVICES = 2;

std::mutex mutex;
std::condition_variable released;
std::vector<std::string> calls;
std::string all_calls;
std::map<std::string, CUresult> failures;
int version;
int devices;
std::size_t argument_bytes;
bool streams_wait;
thread_local std::vector<CUcontext> contexts;

int kept[DEVICES];

// Notes a call; what it fails with where a test wants that.
CUresult called(const std::string& name, const std::string& arguments = "") {
    const std::scoped_lock held(mutex);
    calls.push_back(name + "(" + arguments + ")");
    const auto failure = failures.find(name);
    return failure == failures.end() ? CUDA_SUCCESS : failure->second;
}

CUresult called_in_context(const std::string& name, const std::string& arguments = "") {
    const CUresult result = called(name, arguments);
    return contexts.empty() ? CUDA_ERROR_INVALID_CONTEXT : result;
}

}  // namespace

extern "C" {

void fake_reset() {
    const std::scoped_lock held(mutex);
    calls.clear();
    failures.clear();
    version = 13000;
    devices = DEVICES;
    argument_bytes = 16;
    streams_wait = false;
}
void fake_fail(const char* name, int result) { failures[name] = result; }
void fake_version(int number) { version = number; }
void fake_devices(int number) { devices = number; }
void fake_argument_bytes(int number) { argument_bytes = static_cast<std::size_t>(number); }
void fake_streams_wait() { streams_wait = true; }
void fake_release() {
    const std::scoped_lock held(mutex);
    streams_wait = false;
    released.notify_all();
}
const char* fake_calls() {
    const std::scoped_lock held(mutex);
    all_calls.clear();
    for (const std::string& call : calls) all_calls += call + "\n";
    return all_calls.c_str();
}

CUresult cuDriverGetVersion(int* number) {
    *number = version;
    return called("cuDriverGetVersion");
}
CUresult cuInit(unsigned) { return called("cuInit"); }
CUresult cuGetErrorName(CUresult, const char** name) {
    *name = "CUDA_ERROR_OF_A_TEST";
    return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult, const char** text) {
    *text = "a test wants it";
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int* count) {
    *count = devices;
    return called("cuDeviceGetCount");
}
CUresult cuDeviceGet(CUdevice* device, int index) {
    *device = index + 100;  // a handle, not the index
    return index >= 0 && index < devices ? called("cuDeviceGet") : 101;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
    static const std::map<int, int> values{{16, 132},    {39, 2048},   {75, 9},    {76, 0},
                                           {81, 233472}, {97, 232448}, {111, 1024}};
    *value =
        values.at(attribute) + (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT ? device - 100 : 0);
    return called("cuDeviceGetAttribute");
}
CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice device) {
    *bytes = (std::size_t{1} << 37) + static_cast<std::size_t>(device - 100);
    return called("cuDeviceTotalMem");
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    *context = reinterpret_cast<CUcontext>(&kept[device - 100]);
    return called("cuDevicePrimaryCtxRetain", std::to_string(device - 100));
}
CUresult cuCtxPushCurrent_v2(CUcontext context) {
    contexts.push_back(context);
    return called("cuCtxPushCurrent", std::to_string(reinterpret_cast<int*>(context) - kept));
}
CUresult cuCtxPopCurrent_v2(CUcontext* context) {
    *context = contexts.back();
    contexts.pop_back();
    return called("cuCtxPopCurrent");
}
CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    *module = reinterpret_cast<CUmodule>(&argument_bytes);
    return called_in_context("cuModuleLoadData", std::string(static_cast<const char*>(image) + 1, 3));
}
CUresult cuModuleUnload(CUmodule) { return called_in_context("cuModuleUnload"); }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
    *function = reinterpret_cast<CUfunction>(&streams_wait);
    return called_in_context("cuModuleGetFunction", name);
}
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
    static const std::map<int, int> values{{1, 448}, {3, 8}, {4, 96}};
    *value = values.at(attribute);
    return called_in_context("cuFuncGetAttribute");
}
CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute attribute, int value) {
    return called_in_context("cuFuncSetAttribute", std::to_string(attribute) + ", " + std::to_string(value));
}
#ifndef OLD
CUresult cuFuncGetParamInfo(CUfunction, std::size_t, std::size_t* offset, std::size_t* size) {
    *offset = 0;
    *size = argument_bytes;
    return called_in_context("cuFuncGetParamInfo");
}
#endif
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int threads,
                                                     std::size_t bytes) {
    *blocks = 3;
    return called_in_context("cuOccupancyMaxActiveBlocksPerMultiprocessor",
                             std::to_string(threads) + ", " + std::to_string(bytes));
}
#ifndef VERY_OLD
CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction, void** arguments, void** extra) {
    std::string text = std::to_string(config->gridDimX) + "x" + std::to_string(config->gridDimY) + "x" +
                       std::to_string(config->gridDimZ) + " blocks of " + std::to_string(config->blockDimX) +
                       "x" + std::to_string(config->blockDimY) + "x" + std::to_string(config->blockDimZ) +
                       ", " + std::to_string(config->sharedMemBytes) + " bytes, stream " +
                       std::to_string(reinterpret_cast<std::size_t>(config->hStream));
    for (unsigned a = 0; a < config->numAttrs; ++a) {
        text += ", attribute " + std::to_string(config->attrs[a].id) + " is " +
                std::to_string(config->attrs[a].value.cooperative);
    }
    if (extra != nullptr) text += ", extra";
    text += ": ";
    const auto* bytes = static_cast<const unsigned char*>(arguments[0]);
    for (std::size_t b = 0; b < argument_bytes; ++b) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", bytes[b]);
        text += digits;
    }
    return called_in_context("cuLaunchKernelEx", text);
}
#endif
CUresult cuStreamSynchronize(CUstream stream) {
    const CUresult result =
        called_in_context("cuStreamSynchronize", std::to_string(reinterpret_cast<std::size_t>(stream)));
    std::unique_lock held(mutex);
    const bool done = released.wait_for(held, std::chrono::seconds(20), [] { return !streams_wait; });
    return done ? result : CUDA_ERROR_LAUNCH_TIMEOUT;
}

}  // extern "C"
