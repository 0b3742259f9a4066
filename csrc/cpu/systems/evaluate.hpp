// Evaluations of the field without a solve: what they take is the field's share of the time of one.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/solve.hpp"
#include "cpu/tape/tape.hpp"
#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"
#include "cpu/workers/workers.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Returns the seconds that the calling thread waited for others.
template <class Real>
double evaluate(const EvaluateRequest<Real>& request) {
    const Tape<Real> tape(*request.field->program, request.field->parameters.data(),
                          request.field->wants_gradient);
    const Tiles<Real> tiles(request.field->batch, request.field->segments);
    const Context<Real> context(*request.field, request.c);
    const TileGroups groups(tiles.count(), 1, 0);
    Team team(useful_workers(*request.field, groups));
    const auto size = static_cast<std::size_t>(tiles.size());
    Rows<Real> states(tiles.total());
    for (std::int64_t i = 0; i < tiles.count(); ++i) tiles.load(i, request.y, &states[tiles.offset(i)]);
    const int slots = tape.has_shared() ? request.stages : 1;
    std::vector<TileField<Real>> fields(static_cast<std::size_t>(team.size()),
                                        TileField<Real>(*request.field, tape, slots));
    std::vector<Rows<Real>> rates(static_cast<std::size_t>(team.size()), Rows<Real>(size));
    // What depends on time alone is to be computed anew, as in a step: no two times are the same in float32.
    const double spacing = 1e-6 * std::max(1.0, std::abs(request.t));
    for (std::int64_t step = 0; step < request.steps; ++step) {
        team.run(groups.count(), [&](int worker, int group) {
            TileField<Real>& field = fields[static_cast<std::size_t>(worker)];
            for (std::int64_t i = groups.begin(group); i < groups.end(group); ++i) {
                field.enter_tile(context.of(i));
                for (int stage = 0; stage < request.stages; ++stage) {
                    const double t = request.t + spacing * static_cast<double>(step * request.stages + stage);
                    field(stage, static_cast<Real>(t), &states[tiles.offset(i)],
                          rates[static_cast<std::size_t>(worker)].data());
                }
            }
        });
    }
    return team.waited();
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
