// The kernel of a forward solve: what a generated text calls.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/forward_system.hpp"
#include "cuda/record.hpp"
#include "solve/forward.hpp"

namespace flashode::cuda {

enum class Goal : std::uint8_t { times, every_step };

// Goes on from where `q.stand` says, and writes where it stops.
template <class Field, solve::Control Chosen, Goal Aim>
FLASHODE_DEVICE void forward(const ForwardArguments<typename Field::Real>& q, const void* const* parameters) {
    using Real = typename Field::Real;
    Stand stand = q.stand;
    Progress& at = stand.progress;
    Field::prepare(parameters);
    ForwardSystem<Field, Chosen> system(q, parameters, stand);
    if (!at.begun) {
        system.load(q.request.y0);
        system.start_state(q.request.states);
    }
    Record<Real> record(q, at);
    Budget watch(q.budget, record);
    if constexpr (Aim == Goal::times) {
        solve::solve_to_times(system, q.method, q.request, record, watch, at);
    } else {
        solve::solve_every_step(system, q.method, q.request, record, watch, at);
    }
    system.save(stand);
    stand.full = record.full();
    if (block() == 0 && thread() == 0) *q.left = stand;
}

}  // namespace flashode::cuda
