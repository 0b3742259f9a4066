// Solves of whatever kind the method is.
#pragma once

#include "cpu/continuous_vjp.hpp"
#include "cpu/forward.hpp"
#include "cpu/implicit/adjoint.hpp"
#include "cpu/implicit/forward.hpp"
#include "cpu/workers/workers.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Implicit methods are compiled for tiles of many trajectories alone: their equations fill the lanes, and a
// second copy of them would double what compiling takes.
template <class Real>
inline constexpr bool SOLVES_EQUATIONS = LANES<Real> > 1;

// More than groups would have nothing to do.
inline int useful_workers(const Field& field, const TileGroups& groups) {
    return std::min(field.threads, groups.count());
}

template <class System, class Real>
Outcome solve_with(System&& system, const ForwardRequest<Real>& request, std::size_t state_size,
                   const Interrupt& interrupt) {
    if (request.event != nullptr) return solve_until_event(system, request, state_size, interrupt);
    if (request.nodes != nullptr) {
        const double last = request.times[request.time_count - 1];
        return solve_over_times(
            system, request, EveryStep<Real>(*request.method, last, state_size, *request.nodes), interrupt);
    }
    return solve_over_times(system, request, OutputTimes(request.times, request.time_count), interrupt);
}

template <class Real>
Outcome forward(const ForwardRequest<Real>& request, const Interrupt& interrupt) {
    const Tape<Real> tape(*request.field->program, request.field->parameters.data(),
                          request.field->wants_gradient);
    const auto state_size = static_cast<std::size_t>(request.field->batch) *
                            static_cast<std::size_t>(rows_of(request.field->segments, false));
    if (request.nodes != nullptr) {
        request.nodes->times.assign(1, request.times[0]);
        request.nodes->states.resize(state_size);
    }
    if (request.log != nullptr) {
        request.log->step_of_time.assign(1, -1);
        request.log->nodes = request.nodes != nullptr;
    }
    const Tiles<Real> tiles(request.field->batch, request.field->segments);
    const TileGroups groups(tiles.count(), 1, 0);
    if constexpr (SOLVES_EQUATIONS<Real>) {
        if (request.method->tableau.equations != Equations::none) {
            Team alone(1);
            return solve_with(ImplicitSystem<Real>(request, tape, groups, alone), request, state_size,
                              interrupt);
        }
    }
    Team team(useful_workers(*request.field, groups));
    Outcome outcome =
        solve_with(ForwardSystem<Real>(request, tape, groups, team), request, state_size, interrupt);
    outcome.waited = team.waited();
    return outcome;
}

template <class Real>
Outcome continuous_vjp(const ContinuousRequest<Real>& request, const Interrupt& interrupt) {
    Field reversed = *request.field;
    reversed.direction = -reversed.direction;
    const Tape<Real> tape(*reversed.program, reversed.parameters.data(), reversed.wants_gradient);
    const TileGroups groups = StageAccumulators<Real>::groups_of(tape, *request.method, reversed);
    if constexpr (SOLVES_EQUATIONS<Real>) {
        if (request.method->tableau.equations != Equations::none) {
            Team alone(1);
            return ContinuousAdjoint<Real, ImplicitAdjointSystem<Real>>(request, reversed, tape, groups,
                                                                        alone)
                .run(interrupt);
        }
    }
    Team team(useful_workers(reversed, groups));
    Outcome outcome =
        ContinuousAdjoint<Real, AdjointSystem<Real>>(request, reversed, tape, groups, team).run(interrupt);
    outcome.waited = team.waited();
    return outcome;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
