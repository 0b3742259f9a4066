// Kernels on a GPU, by the CUDA driver alone.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"
#include "bindings/cuda_driver.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

// Described in python/flashode/engines/cuda/machine.py.
struct DeviceProperties {
    std::string architecture;
    int multiprocessors;
    int shared_bytes;
    int shared_bytes_together;
    int reserved_bytes;
    int threads_together;
    std::int64_t memory_bytes;
};

DeviceProperties properties(const CudaDriver& driver, int device) {
    const auto of = [&](CUdevice_attribute attribute) { return driver.attribute(device, attribute); };
    return {.architecture = "sm_" + std::to_string(of(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) +
                            std::to_string(of(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)),
            .multiprocessors = of(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
            .shared_bytes = of(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            .shared_bytes_together = of(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
            .reserved_bytes = of(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK),
            .threads_together = of(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR),
            .memory_bytes = driver.memory_bytes(device)};
}

// Waits for a stream's work.
void synchronize(CudaDriver& driver, int device, Address stream) {
    const py::gil_scoped_release released;
    const CurrentContext current(driver, device);
    driver.check(driver.cuStreamSynchronize(pointer<CUstream_st>(stream)),
                 "waiting for kernels on CUDA device ", device);
}

// A kernel of one argument, loaded on a device.
class LoadedKernel {
   public:
    LoadedKernel(std::shared_ptr<CudaDriver> driver, int device, const py::bytes& image, std::string name)
        : driver_(std::move(driver)), device_(device), name_(std::move(name)) {
        const std::string_view bytes = image;
        require(!bytes.empty(), "image is empty");
        const py::gil_scoped_release released;
        const CurrentContext current(*driver_, device_);
        driver_->check(driver_->cuModuleLoadData(&module_, bytes.data()), "loading the kernel '", name_,
                       "' on CUDA device ", device_);
        try {
            look_up();
        } catch (...) {
            driver_->cuModuleUnload(module_);
            throw;
        }
    }

    // At the end of a process the driver may be gone already: then there is nothing to unload, and nobody to
    // tell.
    ~LoadedKernel() {
        try {
            const CurrentContext current(*driver_, device_);
            driver_->cuModuleUnload(module_);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
        }
    }

    LoadedKernel(const LoadedKernel&) = delete;
    LoadedKernel& operator=(const LoadedKernel&) = delete;
    LoadedKernel(LoadedKernel&&) = delete;
    LoadedKernel& operator=(LoadedKernel&&) = delete;

    int registers() const { return registers_; }
    int local_bytes() const { return local_bytes_; }
    int shared_bytes() const { return shared_bytes_; }

    int blocks_together(int threads, int shared_bytes) const {
        require_block(threads, shared_bytes);
        const CurrentContext current(*driver_, device_);
        int blocks = 0;
        driver_->check(driver_->cuOccupancyMaxActiveBlocksPerMultiprocessor(
                           &blocks, function_, threads, static_cast<std::size_t>(shared_bytes)),
                       "asking how many blocks of the kernel '", name_, "' a multiprocessor holds");
        return blocks;
    }

    // False where blocks that wait for each other are not on the device at a time.
    bool launch(int blocks, int threads, int shared_bytes, bool meeting, const py::bytes& arguments,
                Address stream) const {
        const std::string_view bytes = arguments;
        require(blocks >= 1, "blocks is ", blocks, ", not at least 1");
        require_block(threads, shared_bytes);
        require(!argument_bytes_ || bytes.size() == *argument_bytes_, "arguments has ", bytes.size(),
                " bytes, and the kernel '", name_, "' takes ", argument_bytes_.value_or(0));

        CUlaunchAttribute cooperative{.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
                                      .value = {.cooperative = 1, .pad = {}}};
        const CUlaunchConfig config{.gridDimX = static_cast<unsigned>(blocks),
                                    .gridDimY = 1,
                                    .gridDimZ = 1,
                                    .blockDimX = static_cast<unsigned>(threads),
                                    .blockDimY = 1,
                                    .blockDimZ = 1,
                                    .sharedMemBytes = static_cast<unsigned>(shared_bytes),
                                    .hStream = pointer<CUstream_st>(stream),
                                    .attrs = &cooperative,
                                    .numAttrs = meeting && blocks > 1 ? 1U : 0U};
        void* argument = const_cast<char*>(bytes.data());  // the driver copies from it
        const py::gil_scoped_release released;
        const CurrentContext current(*driver_, device_);
        const CUresult result = driver_->cuLaunchKernelEx(&config, function_, &argument, nullptr);
        if (result == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE) return false;
        driver_->check(result, "launching the kernel '", name_, "' with ", blocks, " blocks of ", threads,
                       " threads and ", shared_bytes, " bytes of shared memory on CUDA device ", device_);
        return true;
    }

   private:
    std::shared_ptr<CudaDriver> driver_;
    int device_;
    std::string name_;
    CUmodule module_ = nullptr;
    CUfunction function_ = nullptr;
    int registers_ = 0;
    int local_bytes_ = 0;
    int shared_bytes_ = 0;
    // Unknown to an older driver.
    std::optional<std::size_t> argument_bytes_;

    void look_up() {
        driver_->check(driver_->cuModuleGetFunction(&function_, module_, name_.c_str()),
                       "looking for the kernel '", name_, "'");
        registers_ = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
        local_bytes_ = attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
        shared_bytes_ = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
        // More than 48 KB is there only for kernels that ask for it beforehand.
        const int most = driver_->attribute(device_, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) -
                         shared_bytes_;
        driver_->check(
            driver_->cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most),
            "letting the kernel '", name_, "' take ", most, " bytes of shared memory");
        if (driver_->cuFuncGetParamInfo) {
            std::size_t offset = 0;
            std::size_t size = 0;
            driver_->check(driver_->cuFuncGetParamInfo(function_, 0, &offset, &size),
                           "asking for the argument of the kernel '", name_, "'");
            argument_bytes_ = size;
        }
    }

    int attribute(CUfunction_attribute attribute) const {
        int value = 0;
        driver_->check(driver_->cuFuncGetAttribute(&value, attribute, function_), "asking the kernel '",
                       name_, "' for its attribute ", static_cast<int>(attribute));
        return value;
    }

    static void require_block(int threads, int shared_bytes) {
        require(threads >= 1, "threads is ", threads, ", not at least 1");
        require(shared_bytes >= 0, "shared_bytes is ", shared_bytes, ", less than 0");
    }
};

}  // namespace

void bind_cuda(py::module_& m) {
    using py::arg;
    const py::module_ cuda = m.def_submodule("cuda", "Kernels on a GPU, by the CUDA driver");
    py::class_<DeviceProperties>(cuda, "Properties")
        .def_readonly("architecture", &DeviceProperties::architecture)
        .def_readonly("multiprocessors", &DeviceProperties::multiprocessors)
        .def_readonly("shared_bytes", &DeviceProperties::shared_bytes)
        .def_readonly("shared_bytes_together", &DeviceProperties::shared_bytes_together)
        .def_readonly("reserved_bytes", &DeviceProperties::reserved_bytes)
        .def_readonly("threads_together", &DeviceProperties::threads_together)
        .def_readonly("memory_bytes", &DeviceProperties::memory_bytes);
    py::class_<CudaDriver, std::shared_ptr<CudaDriver>>(cuda, "Driver")
        .def(py::init<const std::string&>(), py::kw_only(), arg("library"))
        .def_readonly("version", &CudaDriver::version)
        .def("properties", &properties, py::kw_only(), arg("device"))
        .def("synchronize", &synchronize, py::kw_only(), arg("device"), arg("stream"));
    py::class_<LoadedKernel>(cuda, "Kernel")
        .def(py::init<std::shared_ptr<CudaDriver>, int, const py::bytes&, std::string>(), py::kw_only(),
             arg("driver"), arg("device"), arg("image"), arg("name"))
        .def_property_readonly("registers", &LoadedKernel::registers)
        .def_property_readonly("local_bytes", &LoadedKernel::local_bytes)
        .def_property_readonly("shared_bytes", &LoadedKernel::shared_bytes)
        .def("blocks_together", &LoadedKernel::blocks_together, py::kw_only(), arg("threads"),
             arg("shared_bytes"))
        .def("launch", &LoadedKernel::launch, py::kw_only(), arg("blocks"), arg("threads"),
             arg("shared_bytes"), arg("meeting"), arg("arguments"), arg("stream"));
}

}  // namespace flashode::bindings
