// How a path becomes points that are windows of its values, and how a gradient by these points goes back to the path. One
// path is cut at a time, so that the windows of all paths are never in memory together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/goursat/goursat.h"

namespace sigkernel {

// The windows of paths [length][channels], of which the first `inside` values count.
template <class T>
class WindowCut {
 public:
  explicit WindowCut(const Windows<T>& windows) : windows_(windows) {}

  // points: [windows.points(length)][windows.channels(channels)], overwritten. Beyond the path's end its last window is
  // repeated.
  void cut(const T* path, int64_t length, int64_t channels, int64_t inside, T* points) const {
    const int64_t total = windows_.points(length), kept = windows_.points(inside), size = windows_.channels(channels);
    const std::vector<T> deviations = deviations_of(path, channels, inside);
    Look look(windows_.window);
    for (int64_t first = 0; first < kept; first += kAtOnce) {
      const int64_t count = std::min<int64_t>(kAtOnce, kept - first);
      T* point = points + first * size;
      for (int64_t n = 0; n < count && windows_.has_time(); ++n)
        point[n * size] = windows_.factors[0] * time_of(first + n, kept);
      for (int64_t d = 0; d < channels; ++d) {
        look_at(path + d, length, channels, first, kept, deviations[d], &look);
        for (int64_t j = 0; j < windows_.window; ++j) {
          const int64_t place = place_of(j, channels, d);
          const T factor = windows_.factors[place], *values = &look.values[j * kAtOnce];
          for (int64_t n = 0; n < count; ++n) point[n * size + place] = factor * values[n];
        }
      }
    }
    for (int64_t t = kept; t < total; ++t) std::copy_n(points + (kept - 1) * size, size, points + t * size);
  }

  // Accumulates into path_bar, [length][channels], and factors_bar, [windows.channels(channels)]. points_bar: as points
  // of cut, and changed.
  void cut_backward(const T* path, int64_t length, int64_t channels, int64_t inside, T* points_bar, T* path_bar,
                    T* factors_bar) const {
    const int64_t total = windows_.points(length), kept = windows_.points(inside), size = windows_.channels(channels);
    const std::vector<T> deviations = deviations_of(path, channels, inside);
    std::vector<T> deviations_bar(channels), bar(windows_.window * kAtOnce);
    Look look(windows_.window);
    T* last = points_bar + (kept - 1) * size;
    for (int64_t t = kept; t < total; ++t)
      for (int64_t c = 0; c < size; ++c) last[c] += points_bar[t * size + c];
    for (int64_t first = 0; first < kept; first += kAtOnce) {
      const int64_t count = std::min<int64_t>(kAtOnce, kept - first);
      const T* point_bar = points_bar + first * size;
      for (int64_t n = 0; n < count && windows_.has_time(); ++n)
        factors_bar[0] += point_bar[n * size] * time_of(first + n, kept);
      for (int64_t d = 0; d < channels; ++d) {
        look_at(path + d, length, channels, first, kept, deviations[d], &look);
        std::fill(bar.begin(), bar.end(), T(0));
        for (int64_t j = 0; j < windows_.window; ++j) {
          const int64_t place = place_of(j, channels, d);
          const T factor = windows_.factors[place];
          for (int64_t n = 0; n < count; ++n) {
            factors_bar[place] += point_bar[n * size + place] * look.values[j * kAtOnce + n];
            bar[j * kAtOnce + n] = point_bar[n * size + place] * factor;
          }
        }
        look_backward(look, bar.data(), &deviations_bar[d]);
        for (int64_t j = 0; j < windows_.window; ++j)
          for (int64_t n = 0; n < count; ++n)
            path_bar[step_of(first + n, j, length) * channels + d] += bar[j * kAtOnce + n];
      }
    }
    if (windows_.scale) add_of_deviations(path, channels, inside, deviations, deviations_bar, path_bar);
  }

 private:
  static constexpr double kShareOfPath = 0.1;  // of the deviation of the whole path, in what a window is scaled by
  static constexpr int kAtOnce = 8;            // windows whose sums are formed side by side

  // One channel of some windows, [window][kAtOnce]: its values as they are multiplied by the factors, and how they came
  // about.
  struct Look {
    explicit Look(int64_t window) : values(window * kAtOnce), centred(window * kAtOnce) {}
    std::vector<T> values, centred;
    T deviation[kAtOnce] = {}, scale[kAtOnce] = {};  // a scale of 0: all values are 0
  };

  // path: from its first value in that channel on. Beyond the last window that is kept, it is seen again.
  void look_at(const T* path, int64_t length, int64_t channels, int64_t first, int64_t kept, T deviation_of_path,
               Look* look) const {
    const int64_t window = windows_.window;
    T *values = look->values.data(), *centred = look->centred.data();
    for (int n = 0; n < kAtOnce; ++n) {
      const int64_t t = std::min(first + n, kept - 1);
      for (int64_t j = 0; j < window; ++j) values[j * kAtOnce + n] = path[step_of(t, j, length) * channels];
    }
    if (!windows_.centre && !windows_.scale) return;
    // Where all values are one number, they are 0 to the last bit once one of them is subtracted.
    T mean[kAtOnce] = {}, squares[kAtOnce] = {};
    for (int64_t j = 0; j < window; ++j)
      for (int n = 0; n < kAtOnce; ++n) mean[n] += centred[j * kAtOnce + n] = values[j * kAtOnce + n] - values[n];
    for (int n = 0; n < kAtOnce; ++n) mean[n] /= static_cast<T>(window);
    for (int64_t j = 0; j < window; ++j)
      for (int n = 0; n < kAtOnce; ++n) {
        T& value = centred[j * kAtOnce + n];
        value -= mean[n];
        squares[n] += value * value;
      }
    if (windows_.centre) look->values = look->centred;
    if (!windows_.scale) return;
    for (int n = 0; n < kAtOnce; ++n) {
      look->deviation[n] = std::sqrt(squares[n] / static_cast<T>(window));
      const T divisor = look->deviation[n] + static_cast<T>(kShareOfPath) * deviation_of_path;
      const T inverse = T(1) / divisor;
      look->scale[n] = std::isfinite(inverse) ? inverse : T(0);
    }
    for (int64_t j = 0; j < window; ++j)
      for (int n = 0; n < kAtOnce; ++n) values[j * kAtOnce + n] *= look->scale[n];
  }

  // bar: by the windows' values, overwritten by what is by the path's. Accumulates into that by the path's deviation. A
  // deviation of 0 has no derivative.
  void look_backward(const Look& look, T* bar, T* deviation_bar) const {
    if (!windows_.centre && !windows_.scale) return;
    const int64_t window = windows_.window;
    T of_divisor[kAtOnce] = {}, mean[kAtOnce] = {}, pull[kAtOnce] = {};
    for (int64_t j = 0; j < window; ++j)
      for (int n = 0; n < kAtOnce; ++n) {
        T& one = bar[j * kAtOnce + n];
        if (windows_.scale) one *= look.scale[n];
        of_divisor[n] -= one * look.values[j * kAtOnce + n];
        mean[n] += one;
      }
    for (int n = 0; n < kAtOnce; ++n) {
      mean[n] = windows_.centre ? mean[n] / static_cast<T>(window) : T(0);
      if (!windows_.scale) continue;
      *deviation_bar += static_cast<T>(kShareOfPath) * of_divisor[n];
      if (look.deviation[n] > 0) pull[n] = of_divisor[n] / (look.deviation[n] * static_cast<T>(window));
    }
    for (int64_t j = 0; j < window; ++j)
      for (int n = 0; n < kAtOnce; ++n) {
        const int64_t at = j * kAtOnce + n;
        bar[at] += pull[n] * look.centred[at] - mean[n];
      }
  }

  // Of each channel, up to the path's end, where windows are scaled.
  std::vector<T> deviations_of(const T* path, int64_t channels, int64_t inside) const {
    std::vector<T> found(channels);
    for (int64_t d = 0; d < channels && windows_.scale; ++d) {
      const double mean = mean_from_first(path, channels, inside, d);
      double squares = 0;
      for (int64_t i = 0; i < inside; ++i) squares += square(path[i * channels + d] - path[d] - mean);
      found[d] = static_cast<T>(std::sqrt(squares / inside));
    }
    return found;
  }

  void add_of_deviations(const T* path, int64_t channels, int64_t inside, const std::vector<T>& deviations,
                         const std::vector<T>& deviations_bar, T* path_bar) const {
    for (int64_t d = 0; d < channels; ++d) {
      if (!(deviations[d] > 0)) continue;
      const double mean = mean_from_first(path, channels, inside, d);
      const double pull = static_cast<double>(deviations_bar[d]) / deviations[d] / inside;
      for (int64_t i = 0; i < inside; ++i)
        path_bar[i * channels + d] += static_cast<T>(pull * (path[i * channels + d] - path[d] - mean));
    }
  }

  // Of the differences of a channel from its first value.
  static double mean_from_first(const T* path, int64_t channels, int64_t inside, int64_t d) {
    double sum = 0;
    for (int64_t i = 0; i < inside; ++i) sum += path[i * channels + d] - path[d];
    return sum / inside;
  }

  static double square(double x) { return x * x; }
  T time_of(int64_t t, int64_t kept) const {
    if (windows_.time == WindowTime::kAbsolute) return static_cast<T>(t * windows_.stride);
    return static_cast<T>(t) / static_cast<T>(std::max<int64_t>(kept - 1, 1));
  }
  // The time step of a window's j-th value.
  int64_t step_of(int64_t t, int64_t j, int64_t length) const {
    return std::min(t * windows_.stride + j * windows_.dilation, length - 1);
  }
  int64_t place_of(int64_t j, int64_t channels, int64_t d) const { return windows_.has_time() + j * channels + d; }

  const Windows<T> windows_;
};

}  // namespace sigkernel
