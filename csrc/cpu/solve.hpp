// Solves of whatever kind the method is.
#pragma once

#include <algorithm>

#include "cpu/continuous_vjp.hpp"
#include "cpu/event.hpp"
#include "cpu/forward.hpp"
#include "cpu/implicit/adjoint.hpp"
#include "cpu/implicit/forward.hpp"
#include "cpu/record.hpp"
#include "cpu/watch.hpp"
#include "cpu/workers/workers.hpp"
#include "solve/continuous.hpp"
#include "solve/forward.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Implicit methods are compiled for tiles of many trajectories alone: their equations fill the lanes, and a
// second copy of them would double what compiling takes.
template <class Real>
inline constexpr bool SOLVES_EQUATIONS = LANES<Real> > 1;

// More than groups would have nothing to do.
inline int useful_workers(const Field& field, const TileGroups& groups) {
    return std::min(field.threads, groups.count());
}

template <class Real>
double event_tolerance(const ForwardRequest<Real>& request, std::size_t state_size) {
    const Measure<Real>* measure = request.measure;
    if (measure == nullptr || measure->atol == nullptr) return request.method->atol;
    return static_cast<double>(*std::min_element(measure->atol, measure->atol + state_size));
}

template <class System, class Real>
Outcome solve_with(System&& system, const ForwardRequest<Real>& request, std::size_t state_size,
                   Record<Real>& record, const Interrupt& interrupt) {
    const Method& method = *request.method;
    SignalWatch watch(interrupt);
    solve::Progress at;
    if (request.event != nullptr) {
        EventValue<Real> value(*request.event, state_size);
        solve::solve_until_event(system, method, request, value, event_tolerance(request, state_size), record,
                                 watch, at);
    } else if (request.nodes != nullptr) {
        solve::solve_every_step(system, method, request, record, watch, at);
    } else {
        solve::solve_to_times(system, method, request, record, watch, at);
    }
    return at.outcome;
}

template <class Real>
Outcome forward(const ForwardRequest<Real>& request, const Interrupt& interrupt) {
    const Field& field = *request.field;
    const Tape<Real> tape(*field.program, field.parameters.data(), field.wants_gradient);
    const Tiles<Real> tiles(field.batch, field.segments);
    const auto state_size = static_cast<std::size_t>(tiles.batch * tiles.width);
    Record<Real> record(request, tiles);
    const TileGroups groups(tiles.count(), 1, 0);
    if constexpr (SOLVES_EQUATIONS<Real>) {
        if (request.method->tableau.equations != Equations::none) {
            Team caller(1);
            return solve_with(ImplicitSystem<Real>(request, tape, record, groups, caller), request,
                              state_size, record, interrupt);
        }
    }
    Team team(useful_workers(field, groups));
    Outcome outcome = solve_with(ForwardSystem<Real>(request, tape, record, groups, team), request,
                                 state_size, record, interrupt);
    outcome.waited = team.waited();
    return outcome;
}

template <class System, class Real>
Outcome solve_adjoint_with(System&& system, const ContinuousRequest<Real>& request,
                           const Interrupt& interrupt) {
    SignalWatch watch(interrupt);
    solve::AdjointProgress at;
    solve::solve_adjoint(system, *request.method, request, watch, at);
    if (at.total.status == Status::done) system.store_gradients();
    return at.total;
}

template <class Real>
Outcome continuous_vjp(const ContinuousRequest<Real>& request, const Interrupt& interrupt) {
    Field reversed = *request.field;
    reversed.direction = -reversed.direction;
    const Tape<Real> tape(*reversed.program, reversed.parameters.data(), reversed.wants_gradient);
    const TileGroups groups = StageAccumulators<Real>::groups_of(tape, *request.method, reversed);
    StageAccumulators<Real> accumulators(tape, *request.method, groups);
    if constexpr (SOLVES_EQUATIONS<Real>) {
        if (request.method->tableau.equations != Equations::none) {
            Team caller(1);
            return solve_adjoint_with(
                ImplicitAdjointSystem<Real>(request, reversed, tape, accumulators, groups, caller), request,
                interrupt);
        }
    }
    Team team(useful_workers(reversed, groups));
    Outcome outcome = solve_adjoint_with(
        AdjointSystem<Real>(request, reversed, tape, accumulators, groups, team), request, interrupt);
    outcome.waited = team.waited();
    return outcome;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
