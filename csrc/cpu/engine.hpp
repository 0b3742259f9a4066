// The tile engine's interface: what crosses between the bindings and the code compiled for one instruction
// set. Plain data, the same for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "measure/peak.hpp"
#include "program/program.hpp"
#include "solve/method.hpp"
#include "solve/outcome.hpp"
#include "solve/request.hpp"
#include "solve/reverse.hpp"

namespace flashode::cpu {

using solve::Outcome;
using solve::Status;
using solve::Step;

// More than any machine makes use of, and few enough for every machine to start.
inline constexpr int MAX_THREADS = 1024;

// Consecutive rows. In the memory that callers hand over, y is its segments one after the other, each a
// contiguous (batch, rows) block. The root-mean-square error of each segment counts by itself, and the joint
// norm is the largest.
struct Segment {
    int begin = 0;
    int end = 0;

    int rows() const { return end - begin; }
};

using numerics::Control;
using numerics::Equations;
using numerics::Interpolant;

// And the times that its steps end on, as of solve::ChosenSteps.
struct Method : solve::Method {
    std::vector<double> step_t;
    std::vector<double> jump_t;
};

// dy/ds = direction * f(direction * s, y) for `batch` trajectories; s increases.
struct Field {
    const program::Program* program = nullptr;
    std::vector<const void*> parameters;  // contiguous, in the state's precision
    std::vector<bool> wants_gradient;     // one a parameter
    std::vector<Segment> segments;        // of the program's width together
    std::int64_t batch = 0;
    double direction = 1.0;
    int threads = 1;                 // that a solve may take
    bool features_in_lanes = false;  // not trajectories, which are solved one after another; explicit methods
};

// Memory for so many numbers more, which the caller keeps.
template <class Real>
using Storage = std::function<Real*(std::size_t count)>;

// What the forward pass keeps for the reverse one, beside the checkpoints: the steps, which of them reached
// each time, and where the checkpoints are.
struct StepLog {
    std::vector<Step> steps;
    std::vector<std::int64_t> step_of_time;
    bool nodes = false;                // as of solve::StepLog
    std::vector<std::int64_t> chunks;  // the first step of each

    solve::StepLog view() const {
        return {steps.data(), static_cast<std::int64_t>(steps.size()), step_of_time.data(),
                static_cast<std::int64_t>(step_of_time.size()), nodes};
    }
};

// True when the solve shall stop because a signal arrived.
using Interrupt = std::function<bool()>;

// How errors are measured where neither the method's two tolerances nor the root mean square will do.
template <class Real>
struct Measure {
    const Real* rtol = nullptr;    // (state); null: the method's
    const Real* atol = nullptr;    // (state); null: the method's
    std::function<double()> norm;  // of what has been written to `scaled`; empty: the joint norm
    Real* scaled = nullptr;        // (state)
};

// Where a solve ends: when a value is no longer positive, that of a program (cpu/event.hpp), or of a function
// of solver time that reads the state in `state`.
template <class Real>
struct Event {
    const Field* field = nullptr;
    std::function<double(double)> value;
    Real* state = nullptr;  // (state)
};

// Outputs at times that the solve finds.
template <class Real>
struct Nodes {
    std::vector<double> times;
    std::vector<Real> states;  // (times, state)
};

template <class Real>
struct ForwardRequest : solve::ForwardRequest<Real> {
    const Field* field = nullptr;
    const Method* method = nullptr;
    StepLog* log = nullptr;  // null: keep nothing
    const Storage<Real>* storage = nullptr;
    const Measure<Real>* measure = nullptr;
    // Solve from the only time until the event; `states` has room for both states.
    const Event<Real>* event = nullptr;
    // Take outputs in every step until the last time has been reached; `states` is not used.
    Nodes<Real>* nodes = nullptr;
};

template <class Real>
struct DiscreteRequest : solve::DiscreteRequest<Real> {
    const Field* field = nullptr;
    const Method* method = nullptr;
    const StepLog* log = nullptr;
    std::vector<const Real*> checkpoints;  // the chunks that the forward solve was given
    std::vector<Real*> grad_parameters;    // one a parameter, written; null: not wanted
};

// A parameter that is the transpose of another, of shape (rows, columns).
struct Transpose {
    int parameter = 0;
    int of = 0;
    int rows = 0;
    int columns = 0;
};

template <class Real>
struct ContinuousRequest : solve::ContinuousRequest<Real> {
    const Field* field = nullptr;
    const Method* method = nullptr;     // of the adjoint solve
    bool seminorm = false;              // leave the gradients in parameters and c out of the error norm
    std::vector<Segment> measured_c;    // rows of c whose gradients count there, each of these by itself
    std::vector<Transpose> transposes;  // their gradients are added to those of what they transpose
    std::vector<Real*> grad_parameters;
};

// As many evaluations of the field at one state as so many steps of so many stages take, for their time
// alone.
template <class Real>
struct EvaluateRequest {
    const Field* field = nullptr;
    const Real* y = nullptr;  // (state)
    const Real* c = nullptr;  // (batch, rows of c)
    double t = 0.0;
    std::int64_t steps = 0;
    int stages = 1;
};

template <class Real>
struct Kernels {
    Outcome (*forward)(const ForwardRequest<Real>&, const Interrupt&);
    void (*discrete_vjp)(const DiscreteRequest<Real>&, const Interrupt&);
    Outcome (*continuous_vjp)(const ContinuousRequest<Real>&, const Interrupt&);
    double (*evaluate)(const EvaluateRequest<Real>&);  // seconds waited
};

struct KernelSet {
    Kernels<float> float32;
    Kernels<double> float64;
};

struct InstructionSet {
    const char* name;
    bool (*supported)();
    KernelSet (*kernels)();
    KernelSet (*feature_kernels)();
    measure::PeakKernels (*peak_kernels)();
};

// Those built into this binary, the plainest first.
const std::vector<InstructionSet>& instruction_sets();

// The best one that this machine has, or the one wanted, if any. Throws std::invalid_argument when that one
// is unknown, or this machine lacks it, or all.
const InstructionSet& choose_instruction_set(const std::vector<InstructionSet>& sets, const char* wanted);
// Of those built in, by what the environment variable FLASHODE_ISA says.
const InstructionSet& active_instruction_set();
// Checkpoints have the layout of the kernels that wrote them.
const KernelSet& active_kernels(bool features_in_lanes);

}  // namespace flashode::cpu
