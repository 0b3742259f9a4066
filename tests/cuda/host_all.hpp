// All that kernels include, to be compiled once, and how the host runs one.
#pragma once

#include <cstring>

#include "cuda/adjoint_system.hpp"
#include "cuda/dense.hpp"
#include "cuda/dense_vjp.hpp"
#include "cuda/elementwise.hpp"
#include "cuda/elementwise_vjp.hpp"
#include "cuda/forward.hpp"
#include "cuda/tile_reverse.hpp"
#include "host_machine.hpp"

// 0, or 1 with a message.
#define FLASHODE_RUN_ON_HOST(name)                                                                         \
    extern "C" __attribute__((visibility("default"))) int run(                                             \
        const char* bytes, std::size_t count, int blocks, int threads, std::size_t shared_bytes,           \
        unsigned order, char* message, std::size_t room) {                                                 \
        return flashode::cuda::host::run_kernel<Arguments>(                                                \
            [](const void* q) { name(*static_cast<const Arguments*>(q)); }, bytes, count, blocks, threads, \
            shared_bytes, order, message, room);                                                           \
    }
