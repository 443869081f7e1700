// The attributes and the input of the ops whose points are windows: see Windows in goursat.h.
#pragma once

#include <cmath>
#include <string>
#include <utility>

#include "core/goursat/goursat.h"
#include "tensorflow/device_op.h"

namespace sigkernel {

#define SIGKERNEL_WINDOW_ATTRS       \
  Attr("difference: bool")           \
      .Attr("window: int >= 1")      \
      .Attr("dilation: int >= 1")    \
      .Attr("stride: int >= 1")      \
      .Attr("centre: bool")          \
      .Attr("scale: bool")           \
      .Attr("time: {'none', 'relative', 'absolute'}")

template <class T>
absl::Status ReadWindows(OpKernelConstruction* context, Windows<T>* windows) {
  constexpr int64_t kMost = int64_t{1} << 31;  // beyond it a path's steps cannot be counted
  for (const auto& [name, value] : {std::pair{"window", &windows->window}, std::pair{"dilation", &windows->dilation},
                                    std::pair{"stride", &windows->stride}}) {
    TF_RETURN_IF_ERROR(context->GetAttr(name, value));
    if (*value >= kMost) return errors::InvalidArgument(name, " must be below 2^31, got ", *value, ".");
  }
  std::string time;
  TF_RETURN_IF_ERROR(context->GetAttr("centre", &windows->centre));
  TF_RETURN_IF_ERROR(context->GetAttr("scale", &windows->scale));
  TF_RETURN_IF_ERROR(context->GetAttr("time", &time));
  windows->time = time == "none"       ? WindowTime::kNone
                  : time == "relative" ? WindowTime::kRelative
                                       : WindowTime::kAbsolute;
  return absl::OkStatus();
}

// The last input of the ops that know windows.
template <class T>
absl::Status ReadFactors(OpKernelContext* context, const KernelProblem<T>& problem, Windows<T>* windows) {
  const Tensor& factors = context->input(context->num_inputs() - 1);
  const int64_t channels = windows->channels(problem.X.channels);
  if (factors.dims() != 1 || factors.dim_size(0) != channels) {
    return errors::InvalidArgument("factors must hold one number for each of the ", channels,
                                   " channels of a point, got shape ", factors.shape().DebugString());
  }
  windows->factors = factors.flat<T>().data();
  for (int64_t c = 0; c < channels; ++c)
    if (!std::isfinite(windows->factors[c])) {
      return errors::InvalidArgument("factors must be finite numbers, got ", windows->factors[c],
                                     " for channel ", c, " of a point.");
    }
  return absl::OkStatus();
}

}  // namespace sigkernel
