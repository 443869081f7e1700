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
    const std::vector<T> deviations = windows_.scale ? deviations_of(path, channels, inside) : std::vector<T>(channels);
    OneWindow one(windows_.window);
    for (int64_t t = 0; t < total; ++t) {
      T* point = points + t * size;
      if (t >= kept) {
        std::copy_n(point - size, size, point);
        continue;
      }
      if (windows_.has_time()) point[0] = windows_.factors[0] * time_of(t, kept);
      for (int64_t d = 0; d < channels; ++d) {
        look(path, length, channels, t, d, deviations[d], &one);
        for (int64_t j = 0; j < windows_.window; ++j) {
          const int64_t place = place_of(j, channels, d);
          point[place] = windows_.factors[place] * one.values[j];
        }
      }
    }
  }

  // Accumulates into path_bar, [length][channels], and factors_bar, [windows.channels(channels)]. points_bar: as points
  // of cut, and changed.
  void cut_backward(const T* path, int64_t length, int64_t channels, int64_t inside, T* points_bar, T* path_bar,
                    T* factors_bar) const {
    const int64_t total = windows_.points(length), kept = windows_.points(inside), size = windows_.channels(channels);
    const std::vector<T> deviations = windows_.scale ? deviations_of(path, channels, inside) : std::vector<T>(channels);
    std::vector<T> deviations_bar(channels), bar(windows_.window);
    OneWindow one(windows_.window);
    T* last = points_bar + (kept - 1) * size;
    for (int64_t t = kept; t < total; ++t)
      for (int64_t c = 0; c < size; ++c) last[c] += points_bar[t * size + c];
    for (int64_t t = 0; t < kept; ++t) {
      const T* point_bar = points_bar + t * size;
      if (windows_.has_time()) factors_bar[0] += point_bar[0] * time_of(t, kept);
      for (int64_t d = 0; d < channels; ++d) {
        look(path, length, channels, t, d, deviations[d], &one);
        for (int64_t j = 0; j < windows_.window; ++j) {
          const int64_t place = place_of(j, channels, d);
          factors_bar[place] += point_bar[place] * one.values[j];
          bar[j] = point_bar[place] * windows_.factors[place];
        }
        look_backward(one, &bar, &deviations_bar[d]);
        for (int64_t j = 0; j < windows_.window; ++j) path_bar[step_of(t, j, length) * channels + d] += bar[j];
      }
    }
    if (windows_.scale) add_of_deviations(path, channels, inside, deviations, deviations_bar, path_bar);
  }

 private:
  static constexpr double kShareOfPath = 0.1;  // of the deviation of the whole path, in what a window is scaled by

  // One channel of one window: its values as they are multiplied by the factors, and how they came about.
  struct OneWindow {
    explicit OneWindow(int64_t window) : values(window), centred(window) {}
    std::vector<T> values, centred;
    T deviation = 0, divisor = 1;  // a divisor of 0: all values are 0
  };

  void look(const T* path, int64_t length, int64_t channels, int64_t t, int64_t d, T deviation_of_path,
            OneWindow* one) const {
    const int64_t window = windows_.window;
    for (int64_t j = 0; j < window; ++j) one->values[j] = path[step_of(t, j, length) * channels + d];
    if (!windows_.centre && !windows_.scale) return;
    // Where all values are one number, they are 0 to the last bit once one of them is subtracted.
    const T first = one->values[0];
    T mean = 0, squares = 0;
    for (int64_t j = 0; j < window; ++j) mean += one->values[j] - first;
    mean /= static_cast<T>(window);
    for (int64_t j = 0; j < window; ++j) {
      one->centred[j] = (one->values[j] - first) - mean;
      squares += one->centred[j] * one->centred[j];
    }
    if (windows_.centre) one->values = one->centred;
    if (!windows_.scale) return;
    one->deviation = std::sqrt(squares / static_cast<T>(window));
    one->divisor = one->deviation + static_cast<T>(kShareOfPath) * deviation_of_path;
    for (T& value : one->values) value = one->divisor > 0 ? value / one->divisor : T(0);
  }

  // bar: by the window's values, overwritten by what is by the path's. Accumulates into that by the path's deviation. A
  // deviation of 0 has no derivative.
  void look_backward(const OneWindow& one, std::vector<T>* bar, T* deviation_bar) const {
    if (!windows_.centre && !windows_.scale) return;
    const int64_t window = windows_.window;
    T of_divisor = 0;
    if (windows_.scale) {
      for (int64_t j = 0; j < window; ++j) {
        (*bar)[j] = one.divisor > 0 ? (*bar)[j] / one.divisor : T(0);
        of_divisor -= (*bar)[j] * one.values[j];
      }
      *deviation_bar += static_cast<T>(kShareOfPath) * of_divisor;
    }
    const T mean = windows_.centre ? mean_of(*bar) : T(0);
    const T pull = one.deviation > 0 ? of_divisor / (one.deviation * static_cast<T>(window)) : T(0);
    for (int64_t j = 0; j < window; ++j) (*bar)[j] += pull * one.centred[j] - mean;
  }

  // Of each channel, up to the path's end.
  std::vector<T> deviations_of(const T* path, int64_t channels, int64_t inside) const {
    std::vector<T> found(channels);
    for (int64_t d = 0; d < channels; ++d) {
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
  static T mean_of(const std::vector<T>& values) {
    T sum = 0;
    for (const T value : values) sum += value;
    return sum / static_cast<T>(values.size());
  }

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
