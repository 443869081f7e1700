// Which strips there are of a pair's grid, and who takes which of them next: layout.h's dealing, carried out.
#pragma once

#include "core/arithmetic.h"
#include "core/goursat/cuda/layout.h"
#include "core/goursat/cuda/tile.cuh"

namespace sigkernel {

// Where the strips of one pair's grid lie.
struct StripCutter {
  int rows, columns, refinement;  // of the refined grid
  bool is_half;
  int strip_rows, strips;

  __host__ __device__ StripCutter(int coarse_rows, int coarse_columns, int refinement, bool is_half, int strip_rows)
      : rows(coarse_rows << refinement), columns(coarse_columns << refinement), refinement(refinement), is_half(is_half),
        strip_rows(strip_rows), strips(parts_of(rows, strip_rows)) {}

  __device__ int first_column(int strip) const {
    const int first_row = strip * strip_rows - (strips * strip_rows - rows);
    return is_half && first_row > 0 ? first_row : 0;
  }
  __device__ GpuStrip operator[](int strip) const {
    const int first_row = strip * strip_rows - (strips * strip_rows - rows);
    return {first_row, first_column(strip), rows, columns, refinement, is_half};
  }
};

// Which strip of which pair a warp's groups of lanes take next.
class StripSource {
 public:
  // ticket: kChain, zero before the launch. counters: kBlock, the block's own, [strips].
  __device__ StripSource(Sharing sharing, const Lanes& lanes, int64_t pairs, int strips, bool is_backward,
                         unsigned long long* ticket, int32_t* counters)
      : sharing_(sharing), lanes_(lanes), pairs_(pairs), strips_(strips), is_backward_(is_backward), ticket_(ticket),
        counters_(counters), warp_(threadIdx.x / kWarp), warps_(blockDim.x / kWarp) {}

  // False when there is none left for any of the warp's groups. A group may get a pair beyond the last one.
  __device__ bool next(int64_t* index, int* strip) {
    if (sharing_ == Sharing::kGroup) {
      const int64_t stride = int64_t{gridDim.x} * warps_ * lanes_.groups;
      const bool is_first = index_ < 0;
      if (is_first || ++at_ == strips_) {
        index_ = is_first ? (blockIdx.x * int64_t{warps_} + warp_) * lanes_.groups : index_ + stride;
        at_ = 0;
      }
    } else if (sharing_ == Sharing::kBlock) {
      const bool is_first = index_ < 0;
      at_ += warps_;
      if (is_first || at_ >= strips_) {
        index_ = is_first ? blockIdx.x : index_ + gridDim.x;
        at_ = warp_;
        __syncthreads();
        for (int n = threadIdx.x; n < strips_; n += blockDim.x) counters_[n] = 0;
        __syncthreads();
      }
    } else {  // a warp waits only for strips that others have taken before
      const unsigned long long ticket = lanes_.is_first() ? atomicAdd(ticket_, 1ull) : 0;
      const int64_t taken = static_cast<int64_t>(__shfl_sync(kAllLanes, ticket, 0));
      index_ = taken / strips_;
      at_ = static_cast<int>(taken - index_ * strips_);
    }
    *index = index_ + lanes_.group;
    *strip = is_backward_ ? strips_ - 1 - at_ : at_;
    return index_ < pairs_;
  }

 private:
  const Sharing sharing_;
  const Lanes& lanes_;
  const int64_t pairs_;
  const int strips_;
  const bool is_backward_;
  unsigned long long* ticket_;
  int32_t* counters_;
  const int warp_, warps_;
  int64_t index_ = -1;  // of the warp's first group
  int at_ = 0;
};

}  // namespace sigkernel
