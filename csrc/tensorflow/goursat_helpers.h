// What the solver's operations share on every device: their attributes, what is known of inputs at run time alone, and how a
// pair that was not solved is named.
#pragma once

#include <algorithm>
#include <string>

#include "core/goursat/goursat.h"
#include "tensorflow/op_helpers.h"

namespace sigkernel {

inline absl::Status ReadSolver(tensorflow::OpKernelConstruction* context, Solver* solver) {
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

inline absl::Status ReadPairing(tensorflow::OpKernelConstruction* context, Pairing* pairing) {
  std::string name;
  TF_RETURN_IF_ERROR(context->GetAttr("pairing", &name));
  *pairing = name == "pairs"            ? Pairing::kPairs
             : name == "gram"           ? Pairing::kGram
             : name == "symmetric_gram" ? Pairing::kSymmetricGram
                                        : Pairing::kDiagonal;
  return absl::OkStatus();
}

inline absl::Status ReadStaticKernel(tensorflow::OpKernelConstruction* context, StaticKernel* static_kernel) {
  std::string name;
  TF_RETURN_IF_ERROR(context->GetAttr("static_kernel", &name));
  *static_kernel = name == "linear" ? StaticKernel::kLinear : StaticKernel::kRbf;
  return absl::OkStatus();
}

inline absl::Status SweepMemoryError(const std::bad_alloc& failure) {
  return OutOfMemoryError(failure, "the sweep over a grid",
                          "Pass fewer paths at a time, shorter ones, or a smaller dyadic_order");
}

template <class T>
Paths<T> AsPaths(const tensorflow::Tensor& tensor) {
  return {tensor.flat<T>().data(), tensor.dim_size(0), tensor.dim_size(1), tensor.dim_size(2)};
}

// What is known of the inputs at run time alone.
template <class T>
absl::Status ReadProblem(tensorflow::OpKernelContext* context, KernelProblem<T>* problem) {
  const tensorflow::Tensor &x = context->input(0), &y = context->input(1);
  for (const tensorflow::Tensor* paths : {&x, &y}) {
    const char* name = paths == &x ? "X" : "Y";
    if (paths->dims() != 3) {
      return tensorflow::errors::InvalidArgument(name, " must have rank 3, (paths, time steps, channels), got shape ",
                                     paths->shape().DebugString());
    }
    if (paths->dim_size(1) == 0) {
      return tensorflow::errors::InvalidArgument(name, " must have at least one time step, got shape ",
                                     paths->shape().DebugString(), ": drop empty series first.");
    }
  }
  if (x.dim_size(2) == 0) {
    return tensorflow::errors::InvalidArgument("X must have at least one channel, got shape ", x.shape().DebugString());
  }
  if (x.dim_size(2) != y.dim_size(2)) {
    return tensorflow::errors::InvalidArgument("X and Y must have the same number of channels, got ", x.dim_size(2), " and ",
                                   y.dim_size(2));
  }
  if (!problem->is_gram() && x.dim_size(0) != y.dim_size(0)) {
    return tensorflow::errors::InvalidArgument("X and Y must hold the same number of paths, got ", x.dim_size(0), " and ",
                                   y.dim_size(0), "; signature_kernel_gram takes all pairs.");
  }
  const tensorflow::Tensor& variance = context->input(2);
  if (variance.dims() != 0) return tensorflow::errors::InvalidArgument("variance must be one number, got shape ", variance.shape().DebugString());
  problem->X = AsPaths<T>(x);
  problem->Y = AsPaths<T>(y);
  return absl::OkStatus();
}

// The first pair that was not solved, as an error that names it.
template <class T, class Describe>
absl::Status CheckPlans(const Plan* plan, int64_t count, const Describe& describe) {
  const Plan* failed = std::find_if(plan, plan + count, [](Plan p) { return p < 0; });
  if (failed == plan + count) return absl::OkStatus();
  const std::string where = describe(failed - plan);
  const char* cure = ". Rescale or normalize: divide the paths by a constant, standardize them, raise the lengthscales, or "
                     "lower a static kernel's variance.";
  const char* dtype = sizeof(T) == 4 ? "float32" : "float64";
  if (*failed == kOverflow) {
    return tensorflow::errors::InvalidArgument("the signature kernel of ", where, " overflows ", dtype, cure);
  }
  return tensorflow::errors::InvalidArgument("the signature kernel of ", where, " overflows ", dtype,
                                 ", or cancels so far that the power series does not reach its tolerance", cure);
}

// The names of a pair's paths.
template <class T>
std::string PairNames(const KernelProblem<T>& problem, int64_t pair) {
  const int64_t a = problem.is_gram() ? pair / problem.Y.count : pair;
  const int64_t b = problem.is_gram() ? pair % problem.Y.count : pair;
  return tensorflow::strings::StrCat("X[", a, "] and ", problem.is_symmetric() ? "X" : "Y", "[", b, "]");
}

template <class T>
absl::Status ReadIncrements(tensorflow::OpKernelContext* context, GoursatProblem<T>* problem) {
  const tensorflow::Tensor& increments = context->input(0);
  if (increments.dims() != 3) {
    return tensorflow::errors::InvalidArgument("increments must have rank 3 here, got shape ", increments.shape().DebugString());
  }
  problem->increments = increments.flat<T>().data();
  problem->count = increments.dim_size(0);
  problem->rows = increments.dim_size(1);
  problem->columns = increments.dim_size(2);
  return absl::OkStatus();
}

inline absl::Status CheckDirection(const tensorflow::Tensor& x, const tensorflow::Tensor& direction) {
  if (direction.shape() == x.shape()) return absl::OkStatus();
  return tensorflow::errors::InvalidArgument("direction must have X's shape ", x.shape().DebugString(), ", got ",
                                             direction.shape().DebugString());
}

// things: what there must be one number for each of.
inline absl::Status CheckUpstream(const tensorflow::Tensor& plan, const tensorflow::Tensor& upstream, int64_t count,
                                  const char* things) {
  if (plan.NumElements() == count && upstream.NumElements() == count) return absl::OkStatus();
  return tensorflow::errors::InvalidArgument("plan and upstream must hold one number for each of ", count, " ", things,
                                             ", got shapes ", plan.shape().DebugString(), " and ",
                                             upstream.shape().DebugString());
}

// For a symmetric pairing the first gradient is both arguments'; the second is not read.
template <class T>
tensorflow::TensorShape SecondGradientShape(const KernelProblem<T>& problem, const tensorflow::Tensor& y) {
  return problem.is_symmetric() ? tensorflow::TensorShape({0, 0, 0}) : y.shape();
}

template <class T>
absl::Status NotFiniteIncrement(const GoursatProblem<T>& problem, int64_t at, T value) {
  return tensorflow::errors::InvalidArgument("increments must be finite; problem ", at / (problem.rows * problem.columns),
                                             " has ", value, " at row ", at / problem.columns % problem.rows, ", column ",
                                             at % problem.columns);
}

}  // namespace sigkernel
