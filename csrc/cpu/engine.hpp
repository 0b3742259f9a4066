// The tile engine's interface: what crosses between the bindings and the code compiled for one instruction
// set. Plain data, the same for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "measure/peak.hpp"
#include "numerics/controller.hpp"
#include "numerics/dense_output.hpp"
#include "numerics/newton.hpp"
#include "numerics/tableau.hpp"
#include "program/program.hpp"

namespace flashode::cpu {

// More than any machine makes use of, and few enough for every machine to start.
inline constexpr int MAX_THREADS = 1024;

// Consecutive rows of a program's y. In the memory that callers hand over, y is its segments one after the
// other, each a contiguous (batch, rows) block. The root-mean-square error of each segment counts by itself,
// and the joint norm is the largest; one outside the norm is a constant of its trajectory, of which nobody
// asks whether it is finite. The segments in the norm are the state: outputs and cotangents hold them alone.
struct Segment {
    int rows = 0;
    bool in_norm = true;
};

using numerics::Control;
using numerics::Equations;
using numerics::Interpolant;

struct Method {
    numerics::Tableau<double> tableau;
    numerics::Controller controller;
    double first_step = 0.0;  // 0: automatic
    numerics::FirstStep automatic_first_step;
    std::int64_t max_num_steps = 0;  // to an output time, or by a fixed-step method to an event
    double rtol = 0.0;
    double atol = 0.0;
    numerics::Newton newton;
    Interpolant interpolant = Interpolant::linear;
    numerics::InterpolantWeights interpolant_weights;
    bool perturb = false;  // given steps: look just inside the step at both of its ends
    // Chosen steps: increasing times that steps end on instead of passing them. After one of the second
    // kind the field is evaluated afresh, just after it.
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
    int threads = 1;    // that a solve may take
    bool lone = false;  // one trajectory after another, the features of each in vectors; explicit methods
};

enum class Status : std::uint8_t {
    done,
    nonfinite_field,
    nonfinite_state,
    nonfinite_event,
    underflow,
    too_many_steps,
    interrupted
};

struct Outcome {
    Status status = Status::done;
    double t = 0.0;                // where a solve that failed stood
    double dt = 0.0;               // and the step it was trying
    std::int64_t trajectory = -1;  // where a value is not finite, and in which row of its y; of the
    int row = 0;                   // adjoint's system, whose rows are y's twice over
    std::int64_t times_reached = 0;
    std::int64_t evaluations = 0;
    std::int64_t accepted = 0;
    std::int64_t rejected = 0;
    std::int64_t unconverged = 0;  // steps whose equations were not solved
    double unconverged_t = 0.0;    // where the first of them started
    double event_t = 0.0;          // of a solve until an event
    // Of the continuous adjoint: by how much at most an element of y, integrated back to an output time,
    // misses the state that is stored there, and which time that is; and the largest element of the stored
    // states.
    double miss = 0.0;
    double miss_t = 0.0;
    double size = 0.0;
    double seconds = 0.0;  // that the solve took
    double waited = 0.0;   // of these, seconds that the calling thread was idle until others were done
};

// The times of one step. `end` is kept, not recomputed: start + (end - start) need not be end.
struct Step {
    double start = 0.0;
    double dt = 0.0;
    double end = 0.0;
    bool stopped = false;  // shortened to end on a prescribed time
    bool fresh = false;    // its first stage was evaluated just after its start

    // Where a time within the step lies, exact at its end: there a fixed-step method's output is the state
    // itself.
    double fraction(double t) const { return t == end ? 1.0 : (t - start) / dt; }
};

// What the forward pass keeps for the reverse one, beside the checkpoints: the steps and which of them
// reached each time.
struct StepLog {
    std::vector<Step> steps;
    std::vector<std::int64_t> step_of_time;  // (times); -1 for those at the start
    bool nodes = false;                      // the outputs are nodes of the steps and move with them
};

// The state at the start of each step and, for methods whose first stage is another step's last and not f(t0,
// y0), that stage: both (steps, tiles, rows of the state, lanes). Of implicit methods every stage: (steps,
// tiles, stages, rows of the state, lanes). The constants: (tiles, rows, lanes).
template <class Real>
struct Checkpoints {
    std::vector<Real> states;
    std::vector<Real> slopes;
    std::vector<Real> constants;
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

// A number that a solve watches for as long as it is positive: either the first row of the first trajectory
// of what a program gives, or the answer of a function of solver time that finds the state in memory of its
// own.
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
struct ForwardRequest {
    const Field* field = nullptr;
    const Method* method = nullptr;
    const Real* y0 = nullptr;       // (y)
    const double* times = nullptr;  // (times), increasing
    std::int64_t time_count = 0;
    const double* grid = nullptr;  // (grid), fixed-step methods
    std::int64_t grid_count = 0;
    Real* states = nullptr;  // (times, state)
    StepLog* log = nullptr;  // null: keep nothing
    Checkpoints<Real>* checkpoints = nullptr;
    const Measure<Real>* measure = nullptr;
    // Solve until it is there, from the only time given; `states` has room for the start and the event.
    const Event<Real>* event = nullptr;
    double step_size = 0.0;  // of fixed-step methods on the way to an event
    // Take outputs in every step until the last time has been reached; `states` is not used.
    Nodes<Real>* nodes = nullptr;
};

template <class Real>
struct DiscreteRequest {
    const Field* field = nullptr;
    const Method* method = nullptr;
    const StepLog* log = nullptr;
    const Real* states = nullptr;  // of Checkpoints
    const Real* slopes = nullptr;
    const Real* constants = nullptr;
    const double* times = nullptr;  // of the outputs, also where the solve found them
    std::int64_t time_count = 0;
    const Real* grad_states = nullptr;   // (times, state)
    Real* grad_y0 = nullptr;             // (y)
    double* grad_times = nullptr;        // (times) through dense output; null: not wanted
    double* grad_grid = nullptr;         // (grid) fixed-step methods; adaptive ones: (1), the start
    std::vector<Real*> grad_parameters;  // one a parameter, written; null: not wanted
};

// A parameter that is the transpose of another, of shape (rows, columns).
struct Transpose {
    int parameter = 0;
    int of = 0;
    int rows = 0;
    int columns = 0;
};

template <class Real>
struct ContinuousRequest {
    const Field* field = nullptr;
    const Method* method = nullptr;  // of the adjoint solve
    bool seminorm = false;           // leave the parameters out of the error norm
    // One a segment, or none at all: whether its adjoint, that of a constant, counts in the norm as a
    // parameter's gradient does.
    std::vector<bool> like_parameters;
    std::vector<Transpose> transposes;  // their gradients are added to those of what they are made of
    const double* times = nullptr;
    std::int64_t time_count = 0;
    const std::vector<double>* grids =
        nullptr;                        // fixed-step methods: for each interval its grid, in reversed time
    const Real* y0 = nullptr;           // (y), for the constants
    const Real* states = nullptr;       // (times, state)
    const Real* grad_states = nullptr;  // (times, state)
    Real* grad_y0 = nullptr;            // (y)
    double* grad_times = nullptr;       // (times); null: not wanted
    std::vector<Real*> grad_parameters;
};

// As many evaluations of the field at one state as steps of so many stages take; nothing is kept of them.
template <class Real>
struct EvaluateRequest {
    const Field* field = nullptr;
    const Real* y = nullptr;  // (y)
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
    Kernels<float> single;
    Kernels<double> twofold;
};

struct InstructionSet {
    const char* name;
    bool (*supported)();
    KernelSet (*kernels)();
    KernelSet (*lone_kernels)();
    PeakKernels (*peak_kernels)();
};

// Those built into this binary, the plainest first.
const std::vector<InstructionSet>& instruction_sets();

// The best one that this machine has, or the one wanted, if any. Throws std::invalid_argument when that one
// is unknown, or this machine lacks it, or all.
const InstructionSet& choose_instruction_set(const std::vector<InstructionSet>& sets, const char* wanted);
// Of those built in, by what the environment variable FLASHODE_ISA says.
const InstructionSet& active_instruction_set();
// Checkpoints of one sort of kernels say nothing to the other.
const KernelSet& active_kernels(bool lone);

}  // namespace flashode::cpu
