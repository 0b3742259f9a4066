// The kernel of a forward solve: what a generated text calls.
#pragma once

#include "cuda/arguments.hpp"
#include "cuda/record.hpp"
#include "cuda/tile_system.hpp"
#include "solve/forward.hpp"

namespace flashode::cuda {

enum class Goal : std::uint8_t { times, every_step };

namespace detail {

template <solve::Control Chosen, class System, class Steps, class Aim, class Real>
FLASHODE_DEVICE void run(System& system, const ForwardArguments<Real>& q, const Steps& steps, Aim& goal,
                         Record<Real>& record, Budget<Real>& watch, Progress& at) {
    if constexpr (Chosen == solve::Control::error) {
        solve::integrate_adaptive(system, q.method, solve::chosen_steps(q.request), goal, record, watch, at);
    } else {
        solve::integrate_fixed(system, q.method, steps, goal, record, watch, at);
    }
}

}  // namespace detail

// Goes on from where `q.stand` says, and writes where it stops.
template <class Field, solve::Control Chosen, Goal Aim>
FLASHODE_DEVICE void forward(const ForwardArguments<typename Field::Real>& q, const void* const* parameters) {
    using Real = typename Field::Real;
    Stand stand = q.stand;
    Progress& at = stand.progress;
    Field::prepare(parameters);
    TileSystem<Field> system(q, parameters, stand);
    if (!at.begun) {
        system.load();
        system.start_state(q.request.states);
    }
    Record<Real> record(q, at);
    Budget<Real> watch(q, record);
    const solve::Times& times = q.request.times;
    const solve::GridSteps grid(q.request.grid, at.outcome.accepted);
    if constexpr (Aim == Goal::times) {
        solve::OutputTimes goal(times);
        detail::run<Chosen>(system, q, grid, goal, record, watch, at);
    } else {
        solve::EveryStep goal(q.method, at.begun ? at.t : times.at[0], times.at[times.count - 1]);
        detail::run<Chosen>(system, q, grid, goal, record, watch, at);
    }
    system.save(stand);
    stand.full = record.full();
    if (block() == 0 && thread() == 0) *q.left = stand;
}

}  // namespace flashode::cuda
