// The power series' degrees that have a compiled sweep.
#pragma once

#include "core/goursat/cell.h"

namespace sigkernel {

constexpr int kDegrees[] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 24, 32, 40, 48};
// float stops where p^K and r^K still fit its range.
template <class T>
constexpr int kLargestDegree = sizeof(T) == 4 ? 20 : 48;

// Calls visitor.template visit<PowerSeries<degree>>() for a degree of the ladder.
template <class T, class Visitor>
auto visit_degree(int degree, const Visitor& visitor) {
  switch (degree) {
    case 2: return visitor.template visit<PowerSeries<2>>();
    case 3: return visitor.template visit<PowerSeries<3>>();
    case 4: return visitor.template visit<PowerSeries<4>>();
    case 5: return visitor.template visit<PowerSeries<5>>();
    case 6: return visitor.template visit<PowerSeries<6>>();
    case 7: return visitor.template visit<PowerSeries<7>>();
    case 8: return visitor.template visit<PowerSeries<8>>();
    case 9: return visitor.template visit<PowerSeries<9>>();
    case 10: return visitor.template visit<PowerSeries<10>>();
    case 12: return visitor.template visit<PowerSeries<12>>();
    case 16: return visitor.template visit<PowerSeries<16>>();
    default: break;
  }
  if constexpr (kLargestDegree<T> >= 48) {
    switch (degree) {
      case 24: return visitor.template visit<PowerSeries<24>>();
      case 32: return visitor.template visit<PowerSeries<32>>();
      case 40: return visitor.template visit<PowerSeries<40>>();
      case 48: return visitor.template visit<PowerSeries<48>>();
      default: break;
    }
  }
  return visitor.template visit<PowerSeries<20>>();
}

}  // namespace sigkernel
