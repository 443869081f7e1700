// What the ops that solve Goursat problems have in common: the solver's attributes, the check of the plans that it
// returns, and the check of the plans that a gradient is given.
#pragma once

#include <string>

#include "core/goursat/goursat.h"
#include "tensorflow/device_op.h"

namespace sigkernel {

#define SIGKERNEL_SOLVER_ATTRS                               \
  Attr("T: {float, double}")                                 \
      .Attr("solver: {'power_series', 'finite_difference'}") \
      .Attr("tolerance: float")                              \
      .Attr("dyadic_order: int >= 0")                        \
      .Attr("gradient: {'adjoint', 'theorem_4_1'}")

inline absl::Status ReadSolver(OpKernelConstruction* context, Solver* solver) {
  std::string name, gradient;
  float tolerance;
  TF_RETURN_IF_ERROR(context->GetAttr("solver", &name));
  TF_RETURN_IF_ERROR(context->GetAttr("tolerance", &tolerance));
  TF_RETURN_IF_ERROR(context->GetAttr("dyadic_order", &solver->dyadic_order));
  TF_RETURN_IF_ERROR(context->GetAttr("gradient", &gradient));
  solver->power_series = name == "power_series";
  solver->tolerance = tolerance;
  solver->gradient = gradient == "adjoint" ? Gradient::kAdjoint : Gradient::kTheorem41;
  return absl::OkStatus();
}

// Allocates the last three outputs of an op that returns the weights of errors: see ErrorWeights.
template <class T>
absl::Status AllocateWeights(OpKernelContext* context, const TensorShape& shape, ErrorWeights<T>* weights) {
  int output = 2;
  for (T** values : {&weights->largest, &weights->increments, &weights->reversed}) {
    Tensor* tensor = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(output++, shape, &tensor));
    *values = tensor->flat<T>().data();
  }
  return absl::OkStatus();
}

constexpr ScratchMemory kSweepMemory = {"the sweep over a grid",
                                        "Pass fewer paths at a time, shorter ones, or a smaller dyadic_order"};

// An error that names the first pair that was not solved, where the device checks numerics. describe(n) is what the
// message calls pair n.
template <class T, class Device, class Describe>
absl::Status CheckPlans(const Device& device, const Plan* plans, int64_t count, const Describe& describe) {
  if (!device.checks_numerics) return absl::OkStatus();
  const int64_t first = device.FirstNotSolved(plans, count);
  if (first < 0) return absl::OkStatus();
  const bool overflows = device.Read(plans + first) == kOverflow;
  return errors::InvalidArgument(
      "the signature kernel of ", describe(first), " overflows ", sizeof(T) == 4 ? "float32" : "float64",
      overflows ? "" : ", or cancels so far that the power series does not reach its tolerance",
      ". Rescale or normalize: divide the paths by a constant, standardize them, raise the lengthscales, or lower a "
      "static kernel's variance.");
}

// things: what there must be one number for each of, such as "pairs".
inline absl::Status CheckUpstream(const Tensor& plan, const Tensor& upstream, int64_t count,
                                  const char* things) {
  if (plan.NumElements() == count && upstream.NumElements() == count) return absl::OkStatus();
  return errors::InvalidArgument("plan and upstream must hold one number for each of ", count, " ", things, ", got shapes ",
                                 plan.shape().DebugString(), " and ", upstream.shape().DebugString());
}

}  // namespace sigkernel
