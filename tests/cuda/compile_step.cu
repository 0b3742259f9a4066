// Compile-only: one step, one step vjp and one controller decision on the device, and every element-wise
// function, through the very headers that the tile engine uses. One thread owns one trajectory of dy/dt =
// tanh(A y), or one number.
#include "numerics/bracket.hpp"
#include "numerics/controller.hpp"
#include "numerics/dense_output.hpp"
#include "numerics/error_norm.hpp"
#include "numerics/functions.hpp"
#include "numerics/step.hpp"
#include "numerics/step_vjp.hpp"

namespace {

namespace numerics = flashode::numerics;

constexpr int WIDTH = 2;
constexpr int STAGES = 7;

template <class Real>
struct ThreadField {
    const Real* a;                // (WIDTH, WIDTH)
    Real values[STAGES * WIDTH];  // of each stage's evaluation, for its vjp

    __device__ void operator()(int stage, Real, const Real* y, Real* dydt) {
        for (int o = 0; o < WIDTH; ++o) {
            Real sum = Real(0);
            for (int i = 0; i < WIDTH; ++i) sum += a[o * WIDTH + i] * y[i];
            dydt[o] = numerics::unary_value<numerics::UnaryFn::tanh>(sum, static_cast<const Real*>(nullptr));
            values[stage * WIDTH + o] = dydt[o];
        }
    }

    __device__ Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        for (int i = 0; i < WIDTH; ++i) grad_y[i] = Real(0);
        for (int o = 0; o < WIDTH; ++o) {
            const Real y = values[stage * WIDTH + o];
            const Real inner = cotangent[o] * numerics::unary_derivative<numerics::UnaryFn::tanh>(
                                                  Real(0), y, static_cast<const Real*>(nullptr));
            for (int i = 0; i < WIDTH; ++i) grad_y[i] += inner * a[o * WIDTH + i];
        }
        return Real(0);
    }
};

template <class Real>
__global__ void step_and_back(const numerics::Tableau<Real>* tableau, numerics::Controller controller,
                              numerics::Tolerance<Real> tolerance, numerics::InterpolantWeights quartic,
                              const Real* a, Real t, double dt, Real* states, Real* grads, double* next_dt,
                              int batch) {
    const int trajectory = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (trajectory >= batch) return;
    Real* y = states + trajectory * WIDTH;
    ThreadField<Real> field{a, {}};
    const double start = static_cast<double>(t);
    const auto times = numerics::step_times(*tableau, start, dt, static_cast<Real>(start + dt));
    Real k[STAGES * WIDTH];
    Real y_stage[WIDTH];
    Real y1[WIDTH];
    Real error[WIDTH];
    field(0, times.start, y, k);
    numerics::step(*tableau, field, times, WIDTH, y, k, y_stage, 0, true, y1);
    numerics::combine(WIDTH, static_cast<const Real*>(nullptr), times.dt, tableau->b_error, tableau->stages,
                      k, error);

    double sum = 0.0;
    for (int d = 0; d < WIDTH; ++d)
        sum += static_cast<double>(numerics::scaled_square(tolerance, error[d], y[d], y1[d]));
    const double norm = ::sqrt(sum / WIDTH);
    const bool accepted = numerics::accept_step(controller, norm, dt);
    next_dt[trajectory] =
        numerics::clamp_step(controller, numerics::next_step(controller, norm, dt, tableau->order));

    Real grad_k[STAGES * WIDTH];
    Real grad_stage[WIDTH];
    Real grad_y0[WIDTH];
    numerics::StepCotangents<Real> from;
    from.y1 = grads + trajectory * WIDTH;
    numerics::step_vjp<true>(*tableau, field, times.dt, WIDTH, k, from, grad_k, grad_stage, grad_y0);
    field.vjp(0, grad_k, grad_stage);
    const numerics::Bracket bracket{start, start + dt};
    const double x = (numerics::middle(bracket) - start) / dt;
    const auto middle = accepted ? numerics::weights_at<Real>(quartic, x) : numerics::cubic_weights<Real>(x);
    next_dt[trajectory] += numerics::halvings(bracket, static_cast<double>(tolerance.absolute));
    for (int d = 0; d < WIDTH; ++d) {
        grads[trajectory * WIDTH + d] = grad_y0[d] + grad_stage[d];
        if (accepted) y[d] = middle.y0 * y[d] + (Real(1) - middle.y0) * y1[d];
    }
}

template <class Real>
struct SlopeOfUnary {
    Real x;
    const Real* c;
    template <numerics::UnaryFn F>
    __device__ Real operator()() const {
        return numerics::unary_derivative<F>(x, numerics::unary_value<F>(x, c), c);
    }
};

template <class Real>
struct SlopeOfBinary {
    Real a;
    Real b;
    template <numerics::BinaryFn F>
    __device__ Real operator()() const {
        Real da;
        Real db;
        numerics::binary_derivatives<F>(a, b, numerics::binary_value<F>(a, b), da, db);
        return da + db;
    }
};

template <class Real>
__global__ void slopes(numerics::UnaryFn unary, numerics::BinaryFn binary, const Real* constants,
                       const Real* x, Real* out) {
    const int at = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    out[at] = numerics::visit_unary(unary, SlopeOfUnary<Real>{x[at], constants}) +
              numerics::visit_binary(binary, SlopeOfBinary<Real>{x[at], out[at]});
}

template __global__ void slopes<float>(numerics::UnaryFn, numerics::BinaryFn, const float*, const float*,
                                       float*);
template __global__ void slopes<double>(numerics::UnaryFn, numerics::BinaryFn, const double*, const double*,
                                        double*);

template __global__ void step_and_back<float>(const numerics::Tableau<float>*, numerics::Controller,
                                              numerics::Tolerance<float>, numerics::InterpolantWeights,
                                              const float*, float, double, float*, float*, double*, int);
template __global__ void step_and_back<double>(const numerics::Tableau<double>*, numerics::Controller,
                                               numerics::Tolerance<double>, numerics::InterpolantWeights,
                                               const double*, double, double, double*, double*, double*, int);

}  // namespace
