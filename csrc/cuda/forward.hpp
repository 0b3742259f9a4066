// The kernel of a forward solve: what a generated text calls.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/budget.hpp"
#include "cuda/event.hpp"
#include "cuda/forward_system.hpp"
#include "cuda/record.hpp"
#include "solve/forward.hpp"

namespace flashode::cuda {

enum class Goal : std::uint8_t { times, every_step };

namespace detail {

// Loads what is needed at the start of a launch, calls solve(system, record, watch, stand), and writes where
// it has stopped.
template <class Field, solve::Control Chosen, class Solve>
FLASHODE_DEVICE void launch(const ForwardArguments<typename Field::Real>& q, const void* const* parameters,
                            const Solve& solve) {
    Stand stand = q.stand;
    stand.progress = resumed(q.stand.progress);
    Field::prepare(parameters);
    ForwardSystem<Field, Chosen> system(q, stand);
    if (!stand.progress.begun) {
        system.load(q.request.y0);
        system.start_state(q.request.states);
    }
    Record<typename Field::Real> record(q, stand.progress);
    Budget watch(q.budget, record);
    solve(system, record, watch, stand);
    system.save(stand);
    stand.full = record.full();
    if (block() == 0 && thread() == 0) *q.left = stand;
}

}  // namespace detail

// Goes on from where `q.stand` says, and writes where it stops.
template <class Field, solve::Control Chosen, Goal Aim>
FLASHODE_DEVICE void forward(const ForwardArguments<typename Field::Real>& q, const void* const* parameters) {
    detail::launch<Field, Chosen>(q, parameters, [&](auto& system, auto& record, auto& watch, Stand& stand) {
        if constexpr (Aim == Goal::times) {
            solve::solve_to_times(system, q.method, q.request, record, watch, stand.progress);
        } else {
            solve::solve_every_step(system, q.method, q.request, record, watch, stand.progress);
        }
    });
}

// Until an event, whose field has its parameters behind those of the other.
template <class Field, class EventField, solve::Control Chosen>
FLASHODE_DEVICE void forward_to_event(const ForwardArguments<typename Field::Real>& q,
                                      const void* const* parameters, const void* const* event_parameters) {
    EventField::prepare(event_parameters);
    detail::launch<Field, Chosen>(q, parameters, [&](auto& system, auto& record, auto& watch, Stand& stand) {
        EventValue<EventField> value(q.event, stand.asked);
        solve::solve_until_event(system, q.method, q.request, value, q.event.tolerance, record, watch,
                                 stand.progress);
        stand.asked = value.asked();
    });
}

}  // namespace flashode::cuda
