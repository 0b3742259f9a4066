// The arguments of the kernels, as the host lays them out: each kernel takes one struct, by value. Behind it
// stand the addresses of the Program's parameters, as many as the kernel's text says.
#pragma once

#include <cstdint>

#include "cuda/slot.hpp"
#include "solve/continuous.hpp"
#include "solve/loops.hpp"
#include "solve/request.hpp"
#include "solve/reverse.hpp"

namespace flashode::cuda {

using solve::Method;
using solve::Outcome;
using solve::Progress;
using solve::Status;
using solve::Step;

// Chunks of memory for steps, each of as many as all before it and `first` more, in the order in which the
// host has given them.
inline constexpr int MAX_CHUNKS = 24;

template <class Real>
struct Chunk {
    Step* steps = nullptr;         // (steps of the chunk)
    Real* checkpoints = nullptr;   // (steps, 1 or 2, tiles, width, lanes): state, and the slope if it is kept
    double* node_times = nullptr;  // (steps, nodes in each)
    Real* nodes = nullptr;         // (steps, nodes in each, state)
};

template <class Real>
struct StepMemory {
    std::int64_t first = 0;            // steps of the first chunk; 0: nothing is kept
    std::int64_t capacity = 0;         // steps of all of them
    std::int64_t checkpoint_size = 0;  // numbers of one
    std::int64_t state_size = 0;       // numbers of a node
    Chunk<Real> chunks[MAX_CHUNKS];
};

// Which chunk a step is in, and where in it.
struct Place {
    int chunk;
    std::int64_t at;
};

FLASHODE_HD Place place_of(std::int64_t step, std::int64_t first) {
    int chunk = 0;
    while (step >= first) {
        step -= first;
        first *= 2;
        ++chunk;
    }
    return {chunk, step};
}

// Where a launch stopped, for the host and the launch that goes on from there. `half`: which of two places
// the state at the start of the next step is in.
struct Stand {
    Progress progress;
    int half = 0;
    bool full = false;   // there is no memory for another step
    bool asked = false;  // an event has its signs
};

// What every kernel is told of the batch.
struct Batch {
    std::int64_t trajectories = 0;
    double direction = 1.0;  // dy/ds = direction * f(direction * s, y)
};

// A method, its tableau in the precision of the state too, and what it is applied to.
template <class Real>
struct MethodArguments {
    Method method;
    numerics::Tableau<Real> tableau;
    Batch batch;
};

// What a system over tiles is told. `width`: of what it integrates.
template <class Real>
struct SystemArguments : MethodArguments<Real> {
    const Real* c = nullptr;     // (batch, rows of c)
    const Real* rtol = nullptr;  // (state); null: the method's
    const Real* atol = nullptr;
    Real* rows = nullptr;    // (5, tiles, width, lanes): states and slopes at both ends of a step, its middle
    Real* stages = nullptr;  // (blocks, stages, width, lanes), where shared memory has no room for them
    Slot* slots = nullptr;
    std::uint64_t round = 0;  // the first of this launch
    std::int64_t budget = 0;  // attempts until it pauses
};

// What ends a solve: the least of a program's rates on its only trajectory, each with its sign at the first
// evaluation, when it is no longer positive.
template <class Real>
struct EventArguments {
    Real* state = nullptr;  // (state)
    Real* signs = nullptr;  // (width of the program)
    std::int64_t size = 0;  // of the state; further numbers that the program has are zeros
    double direction = 1.0;
    double tolerance = 0.0;
};

template <class Real>
struct ForwardArguments : SystemArguments<Real> {
    solve::ForwardRequest<Real> request;
    EventArguments<Real> event;
    std::int64_t* step_of_time = nullptr;  // (times), of a solve that is recorded
    StepMemory<Real> memory;
    Stand stand;            // where it goes on
    Stand* left = nullptr;  // where it stops
};

// Rows of scratch that the exact reverse needs in a block, beside two for each stage.
inline constexpr int REVERSE_ROWS = 7;

// Partial sums of so many steps of a tile are added up in double: after every step whose index they divide.
inline constexpr int STEPS_BETWEEN_FOLDS = 32;

// Of the exact reverse. Blocks go through all steps of a tile, last first, and then to their next tile:
// `done` of them are so already, and no block does more than `budget` in a launch. Where
// a launch ends the sums are folded: between two folds it would change what is rounded.
template <class Real>
struct DiscreteArguments : MethodArguments<Real> {
    solve::DiscreteRequest<Real> request;
    solve::StepLog log;
    StepMemory<Real> memory;       // checkpoints alone
    Real* scratch = nullptr;       // (blocks, rows of TileReverse)
    Real* accumulators = nullptr;  // (blocks, gradients in parameters), where shared memory has no room
    double* sums = nullptr;        // (blocks, gradients in parameters), zero at first
    double* time_sums = nullptr;   // (blocks, times), zero at first; null: not wanted
    double* grid_sums = nullptr;   // (blocks, points of the grid, or 1), likewise
    std::int64_t points = 0;
    std::int64_t done = 0;
    std::int64_t budget = 0;
};

// Where a launch of the adjoint equations stopped: as of Stand.
struct AdjointStand {
    solve::AdjointProgress progress;
    int half = 0;
};

// Of the adjoint equations, integrated backwards. What is integrated beside the tiles is dL/dt, and behind it
// the gradients in parameters: `size` numbers.
template <class Real>
struct ContinuousArguments : SystemArguments<Real> {
    solve::ContinuousRequest<Real> request;
    Real* adjoint = nullptr;     // (tiles, width, lanes): where the last interval ended, but for y
    Real* gradients = nullptr;   // (size), there, too
    Real* quadrature = nullptr;  // (3 and sets of rates, size): at both ends of a step, its middle, its rates
    Real* accumulators = nullptr;  // (blocks, sets of rates, size): what the blocks' tiles have of the rates
    int sets = 0;                  // of rates, one a stage
    const std::int64_t* segments = nullptr;  // (segment_count, 2): which of them count in error norms
    std::int64_t segment_count = 0;
    // Of each number the accumulators' that it is the sum of, `sources[starts[e]]` … `sources[starts[e + 1] -
    // 1]`; null: it is its own.
    const std::int64_t* starts = nullptr;
    const std::int64_t* sources = nullptr;
    AdjointStand stand;
    AdjointStand* left = nullptr;
};

// What a kernel whose Program has so many parameters takes.
template <class Common, int Parameters>
struct WithParameters {
    Common common;
    const void* parameters[Parameters > 0 ? Parameters : 1];
};

}  // namespace flashode::cuda
