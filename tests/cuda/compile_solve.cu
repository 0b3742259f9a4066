// Compile-only, by nvcc and NVRTC: the loops of a solve, their goals and the algebra of both reverse passes
// in a kernel, through the very headers that the CPU engine uses. One thread owns one trajectory of dy/dt =
// -y.
#include "numerics/error_norm.hpp"
#include "numerics/step.hpp"
#include "numerics/step_vjp.hpp"
#include "solve/continuous.hpp"
#include "solve/forward.hpp"
#include "solve/reverse.hpp"

namespace {

namespace numerics = flashode::numerics;
namespace solve = flashode::solve;

using Index = std::int64_t;

constexpr int STAGES = numerics::MAX_STAGES;

template <class Real>
struct Decay {
    __device__ void operator()(int, Real, const Real* y, Real* dydt) const { *dydt = -*y; }
    __device__ Real vjp(int, const Real* cotangent, Real* grad_y) const {
        *grad_y = -*cotangent;
        return Real(0);
    }
};

// A system of solve/forward.hpp and, as its own adjoint, of solve/continuous.hpp.
template <class Real>
struct ThreadSystem {
    const solve::Method& method;
    const numerics::Tableau<Real>& tableau;
    numerics::Tolerance<Real> tolerance;
    Real* states;  // (times)
    const Real* grad_states;
    Real y0;
    Decay<Real> field = {};
    Real y1 = Real(0);
    Real y_mid = Real(0);
    Real k[STAGES] = {};
    Real f1 = Real(0);

    __device__ double norm(Real error) const {
        return ::sqrt(static_cast<double>(numerics::scaled_square(tolerance, error, y0, y1)));
    }

    __device__ __noinline__ bool start(double t) {
        field(0, static_cast<Real>(t), &y0, k);
        return solve::is_finite(static_cast<double>(k[0]));
    }
    __device__ bool start_after(double t) { return start(static_cast<double>(solve::just_after(t))); }
    __device__ double norm_y0() const { return norm(y0); }
    __device__ double norm_f0() const { return norm(k[0]); }
    __device__ double probe(double t, double h) {
        y1 = y0 + static_cast<Real>(h) * k[0];
        field(1, static_cast<Real>(t + h), &y1, &f1);
        return norm(f1 - k[0]);
    }
    __device__ __noinline__ void take(const solve::Step& step) {
        Real inputs[1];
        numerics::step(tableau, field, solve::rounded_times<Real>(method, step), 1, &y0, k, inputs, 0, true,
                       &y1);
        f1 = k[tableau.stages - 1];
    }
    __device__ __noinline__ double attempt(const solve::Step& step, bool) {
        take(step);
        const Real dt = static_cast<Real>(step.dt);
        const Real* none = nullptr;
        Real error;
        numerics::combine(1, &y0, dt, tableau.b_mid, tableau.stages, k, &y_mid);
        numerics::combine(1, none, dt, tableau.b_error, tableau.stages, k, &error);
        return norm(error);
    }
    __device__ bool fixed_step(const solve::Step& step) {
        start(step.start);
        take(step);
        return starts_finite();
    }
    __device__ void count(const solve::Step&, solve::Outcome& outcome) const {
        outcome.evaluations += tableau.stages;
    }
    __device__ bool starts_finite() const { return solve::is_finite(static_cast<double>(y1)); }
    __device__ bool slopes_finite() const { return true; }
    __device__ bool evaluate_end(const solve::Step& step) {
        field(0, static_cast<Real>(step.end), &y1, &f1);
        return true;
    }
    __device__ void advance() {
        y0 = y1;
        k[0] = f1;
    }
    __device__ bool near_overflow(solve::Outcome&) const { return false; }
    __device__ void locate_nonfinite(solve::Outcome& outcome) const { outcome.trajectory = 0; }
    __device__ void locate_nonfinite_end(solve::Outcome& outcome) const { outcome.trajectory = 0; }

    __device__ __noinline__ void state_at(double x, const solve::Step& step, Real* to) const {
        const solve::Interpolant kind = method.interpolant;
        solve::dense_output(kind, 1, solve::dense_weights<Real>(method, x), static_cast<Real>(step.dt),
                            {&y0, &y1, &y_mid, k, &f1}, to);
    }
    __device__ void end_state(Real* to) const { *to = y1; }
    __device__ void start_state(Real* to) const { *to = y0; }
    __device__ void output(Index j, double x, const solve::Step& step) const {
        state_at(x, step, states + j);
    }
    __device__ void output_start(Index j) const { states[j] = y0; }

    __device__ void add_cotangent(Index j) { y0 += grad_states[j]; }
    __device__ bool wants_times() const { return grad_states != nullptr; }
    __device__ void move_end(Index j) { y0 -= states[j] * grad_states[j]; }
    __device__ void begin_interval(Index) { y1 = y0; }
    __device__ void move_start() const {}
    __device__ double miss() const { return 0.0; }
    __device__ double size() const { return 1.0; }
};

// Checkpoints in chunks of global memory.
template <class Real>
struct DeviceRecord {
    Real* const* chunks;
    Index steps_per_chunk;
    solve::Step* steps;
    Index* step_of_time;
    double* node_times;
    Real* nodes;
    Index kept = 0;
    Index outputs = 1;

    template <class System>
    __device__ void keep(const System& system, const solve::Step& step) {
        chunks[kept / steps_per_chunk][kept % steps_per_chunk] = system.y0;
        steps[kept++] = step;
    }
    __device__ void output() { step_of_time[outputs++] = kept - 1; }
    __device__ Real* node(double t) {
        node_times[outputs] = t;
        return nodes + outputs;
    }
};

struct Budget {
    Index left;
    __device__ bool stop() { return --left < 0; }
};

// The event where the state falls to a half.
template <class Real>
struct Half {
    Real y = Real(0);
    __device__ Real* state() { return &y; }
    __device__ double operator()(double) const { return static_cast<double>(y) - 0.5; }
};

template <class Real>
__global__ void forward(solve::Method method, const numerics::Tableau<Real>* tableau, int goal,
                        solve::ForwardRequest<Real> request, DeviceRecord<Real> record, Budget watch,
                        solve::Outcome* outcome) {
    ThreadSystem<Real> system{method,         *tableau, {Real(1e-3), Real(1e-6)},
                              request.states, nullptr,  *request.y0};
    Half<Real> value;
    solve::Progress at;
    if (goal == 0) {
        solve::solve_to_times(system, method, request, record, watch, at);
    } else if (goal == 1) {
        solve::solve_every_step(system, method, request, record, watch, at);
    } else {
        solve::solve_until_event(system, method, request, value, 1e-6, record, watch, at);
    }
    *outcome = at.outcome;
}

template <class Real>
__global__ void discrete(solve::Method method, const numerics::Tableau<Real>* tableau, solve::StepLog log,
                         solve::DiscreteRequest<Real> request, Real* const* chunks, Index steps_per_chunk) {
    solve::ReverseSteps steps(method, log);
    const solve::TimeGradients times{request.grad_times, request.grad_grid};
    const solve::Interpolant kind = method.interpolant;
    Decay<Real> field;
    Real grad_y = Real(0);
    while (steps.next()) {
        const auto rounded = solve::rounded_times<Real>(method, steps.step());
        const Real y0 = chunks[steps.index() / steps_per_chunk][steps.index() % steps_per_chunk];
        Real k[STAGES];
        Real inputs[1];
        Real y1;
        Real y_mid;
        field(0, steps.template first_stage_time<Real>(), &y0, k);
        numerics::step(*tableau, field, rounded, 1, &y0, k, inputs, 0, true, &y1);
        numerics::combine(1, &y0, rounded.dt, tableau->b_mid, tableau->stages, k, &y_mid);
        Real grad_y0 = Real(0);
        Real grad_mid = Real(0);
        Real grad_f0 = Real(0);
        Real grad_f1 = Real(0);
        for (Index j = steps.begin(); j < steps.end(); ++j) {
            const double x = solve::fraction(steps.step(), request.times.at[j]);
            const Real* cotangent = request.grad_states + j;
            Real slope;
            solve::dense_output_vjp(kind, 1, solve::dense_weights<Real>(method, x), rounded.dt, cotangent,
                                    {&grad_y0, &grad_y, &grad_mid, &grad_f0, &grad_f1});
            const solve::OutputRates rates = steps.template output_rates<Real>(
                x, 1, {&y0, &y1, &y_mid, k, k + tableau->stages - 1}, cotangent, &slope);
            steps.add_output(j, x, rates, times);
        }
        numerics::StepCotangents<Real> from{&grad_y, &grad_mid, &grad_f0, &grad_f1};
        Real grad_k[STAGES];
        Real grad_stage[1];
        Real through_step;
        const auto ends = steps.stretches()
                              ? numerics::step_vjp<true>(*tableau, field, rounded.dt, 1, k, from, grad_k,
                                                         grad_stage, &through_step)
                              : numerics::step_vjp<false>(*tableau, field, rounded.dt, 1, k, from, grad_k,
                                                          grad_stage, &through_step);
        if (!steps.carries()) field.vjp(0, grad_k, grad_stage);
        grad_y = through_step + grad_y0 + grad_stage[0];
        steps.add_ends(static_cast<double>(ends.start), static_cast<double>(ends.dt), times);
    }
    *request.grad_y0 = grad_y;
}

template <class Real>
__global__ void continuous(solve::Method method, const numerics::Tableau<Real>* tableau,
                           solve::ContinuousRequest<Real> request, Real* states, Budget watch,
                           solve::Outcome* outcome) {
    ThreadSystem<Real> system{method, *tableau, {Real(1e-3), Real(1e-6)}, states, request.grad_states,
                              Real(0)};
    solve::AdjointProgress at;
    solve::solve_adjoint(system, method, request, watch, at);
    *outcome = at.total;
}

#define FLASHODE_KERNELS(Real)                                                                             \
    template __global__ void forward<Real>(solve::Method, const numerics::Tableau<Real>*, int,             \
                                           solve::ForwardRequest<Real>, DeviceRecord<Real>, Budget,        \
                                           solve::Outcome*);                                               \
    template __global__ void discrete<Real>(solve::Method, const numerics::Tableau<Real>*, solve::StepLog, \
                                            solve::DiscreteRequest<Real>, Real* const*, Index);            \
    template __global__ void continuous<Real>(solve::Method, const numerics::Tableau<Real>*,               \
                                              solve::ContinuousRequest<Real>, Real*, Budget,               \
                                              solve::Outcome*);

FLASHODE_KERNELS(float)
FLASHODE_KERNELS(double)

}  // namespace
