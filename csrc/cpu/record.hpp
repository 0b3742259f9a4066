// What a forward solve records: the log of its steps, checkpoints in memory that the caller gives in chunks,
// and nodes. A checkpoint is the state at the start of a step, (tiles, rows, lanes), and then stages, (tiles,
// stages, rows, lanes): the first, where it is another step's last and not f(t0, y0); and all of an implicit
// method, because solved for again, tile by tile, they could be another solution.
#pragma once

#include <algorithm>
#include <cstddef>

#include "cpu/engine.hpp"
#include "cpu/tiles/tiles.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

inline std::size_t stored_stages(const numerics::Tableau<double>& tableau) {
    if (tableau.equations != Equations::none) return static_cast<std::size_t>(tableau.stages);
    return tableau.carried && !tableau.fsal ? 1 : 0;
}

template <class Real>
std::size_t checkpoint_size(const Tiles<Real>& tiles, const Method& method) {
    return tiles.total() * (1 + stored_stages(method.tableau));
}

// A record of solve/loops.hpp.
template <class Real>
class Record {
   public:
    Record(const ForwardRequest<Real>& request, const Tiles<Real>& tiles)
        : log_(request.log), storage_(request.storage), nodes_(request.nodes) {
        if (nodes_ != nullptr) {
            state_size_ = static_cast<std::size_t>(tiles.batch * tiles.width);
            nodes_->times.assign(1, request.times.at[0]);
            nodes_->states.resize(state_size_);
        }
        if (log_ == nullptr) return;
        log_->step_of_time.assign(1, -1);
        log_->nodes = nodes_ != nullptr;
        checkpoint_size_ = checkpoint_size(tiles, *request.method);
        const bool on_grid = request.method->tableau.control == Control::fixed && request.event == nullptr;
        if (on_grid) steps_to_come_ = static_cast<std::size_t>(request.grid.count - 1);
    }

    // Memory for the state at the start, which is the first output.
    Real* start(Real* states) { return nodes_ == nullptr ? states : nodes_->states.data(); }

    template <class System>
    void keep(System& system, const Step& step) {
        if (log_ == nullptr) return;
        if (left_ == 0) add_chunk();
        log_->steps.push_back(step);
        system.write_checkpoint(next_);
        next_ += checkpoint_size_;
        --left_;
    }

    void output() {
        if (log_ != nullptr) log_->step_of_time.push_back(static_cast<std::int64_t>(log_->steps.size()) - 1);
    }

    Real* node(double t) {
        nodes_->times.push_back(t);
        nodes_->states.resize(nodes_->times.size() * state_size_);
        return nodes_->states.data() + nodes_->states.size() - state_size_;
    }

   private:
    // As much again as there is, within bounds: most solves fit into the first, and none of a long one's
    // waits for as much as it will need. No more than the steps to come where these are known.
    static constexpr std::size_t LEAST_BYTES = std::size_t{4} << 10;
    static constexpr std::size_t MOST_BYTES = std::size_t{8} << 20;

    void add_chunk() {
        const std::size_t bytes = checkpoint_size_ * sizeof(Real);
        const std::size_t count = log_->steps.size();
        const std::size_t wanted =
            steps_to_come_ > 0 ? MOST_BYTES : std::clamp(count * bytes, LEAST_BYTES, MOST_BYTES);
        left_ = std::max<std::size_t>(wanted / bytes, 1);
        if (steps_to_come_ > 0) left_ = std::min(left_, steps_to_come_ - count);
        log_->chunks.push_back(static_cast<std::int64_t>(log_->steps.size()));
        next_ = (*storage_)(left_ * checkpoint_size_);
    }

    StepLog* log_;
    const Storage<Real>* storage_;
    Nodes<Real>* nodes_;
    std::size_t state_size_ = 0;
    std::size_t checkpoint_size_ = 0;
    std::size_t steps_to_come_ = 0;  // 0: unknown
    std::size_t left_ = 0;           // checkpoints for which there is memory
    Real* next_ = nullptr;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
