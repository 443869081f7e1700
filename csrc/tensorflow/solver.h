// What the ops that solve Goursat problems have in common: the solver's attributes, the check of the plans that it
// returns, and the check of the plans that a gradient is given.
#pragma once

#include <string>

#include "core/goursat/goursat.h"
#include "core/goursat/plan.h"
#include "tensorflow/device_op.h"

namespace sigkernel {

#define SIGKERNEL_SOLVER_ATTRS                               \
  Attr("T: {float, double}")                                 \
      .Attr("solver: {'power_series', 'finite_difference'}") \
      .Attr("tolerance: float")                              \
      .Attr("dyadic_order: int >= 0")                        \
      .Attr("gradient: {'adjoint', 'theorem_4_1'}")

constexpr int kLargestDyadicOrder = 15;  // as in Python; beyond it a grid's cells cannot be counted

inline absl::Status ReadSolver(OpKernelConstruction* context, Solver* solver) {
  std::string name, gradient;
  float tolerance;
  TF_RETURN_IF_ERROR(context->GetAttr("solver", &name));
  TF_RETURN_IF_ERROR(context->GetAttr("tolerance", &tolerance));
  TF_RETURN_IF_ERROR(context->GetAttr("dyadic_order", &solver->dyadic_order));
  TF_RETURN_IF_ERROR(context->GetAttr("gradient", &gradient));
  if (solver->dyadic_order > kLargestDyadicOrder) {
    return errors::InvalidArgument("dyadic_order must be between 0 and ", kLargestDyadicOrder, ", got ",
                                   solver->dyadic_order, ".");
  }
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

// Of a gradient's inputs: `plan` must be what the forward op wrote, and `upstream` must have its shape. A plan that no
// forward op writes is an error where the device can read it; a pair that was not solved has no gradient.
template <class T, class Device>
absl::Status CheckSolved(const Solver& solver, const Tensor& plan, const Tensor& upstream, const TensorShape& shape) {
  if (plan.shape() != shape || upstream.shape() != shape) {
    return errors::InvalidArgument("plan and upstream must have the shape ", shape.DebugString(),
                                   " of the kernel that the gradient is of, got ", plan.shape().DebugString(), " and ",
                                   upstream.shape().DebugString(), ".");
  }
  if constexpr (Device::kIsHost) {
    const auto plans = plan.flat<Plan>();
    for (int64_t n = 0; n < plans.size(); ++n) {
      if (is_solving<T>(solver, plans(n))) continue;
      return errors::InvalidArgument(
          "plan must be the one that the forward operation returned with the same solver and dtype, got ", plans(n),
          " in its entry ", n, ", which no solved pair has. Differentiate the forward operation, which hands it on.");
    }
  }
  return absl::OkStatus();
}

}  // namespace sigkernel
