// The solver's operations on the CPU: validate, allocate, call the core.

#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <vector>

#include "core/goursat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/op_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
namespace errors = tensorflow::errors;

absl::Status ReadSolver(OpKernelConstruction* context, Solver* solver) {
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

absl::Status ReadPairing(OpKernelConstruction* context, Pairing* pairing) {
  std::string name;
  TF_RETURN_IF_ERROR(context->GetAttr("pairing", &name));
  *pairing = name == "pairs"            ? Pairing::kPairs
             : name == "gram"           ? Pairing::kGram
             : name == "symmetric_gram" ? Pairing::kSymmetricGram
                                        : Pairing::kDiagonal;
  return absl::OkStatus();
}

absl::Status ReadStaticKernel(OpKernelConstruction* context, StaticKernel* static_kernel) {
  std::string name;
  TF_RETURN_IF_ERROR(context->GetAttr("static_kernel", &name));
  *static_kernel = name == "linear" ? StaticKernel::kLinear : StaticKernel::kRbf;
  return absl::OkStatus();
}

absl::Status MemoryError(const std::bad_alloc& failure) {
  return OutOfMemoryError(failure, "the sweep over a grid",
                          "Pass fewer paths at a time, shorter ones, or a smaller dyadic_order");
}

template <class T>
Paths<T> AsPaths(const Tensor& tensor) {
  return {tensor.flat<T>().data(), tensor.dim_size(0), tensor.dim_size(1), tensor.dim_size(2)};
}

// What is known of the inputs at run time alone.
template <class T>
absl::Status ReadProblem(OpKernelContext* context, KernelProblem<T>* problem) {
  const Tensor &x = context->input(0), &y = context->input(1);
  for (const Tensor* paths : {&x, &y}) {
    const char* name = paths == &x ? "X" : "Y";
    if (paths->dims() != 3) {
      return errors::InvalidArgument(name, " must have rank 3, (paths, time steps, channels), got shape ",
                                     paths->shape().DebugString());
    }
    if (paths->dim_size(1) == 0) {
      return errors::InvalidArgument(name, " must have at least one time step, got shape ",
                                     paths->shape().DebugString(), ": drop empty series first.");
    }
  }
  if (x.dim_size(2) == 0) {
    return errors::InvalidArgument("X must have at least one channel, got shape ", x.shape().DebugString());
  }
  if (x.dim_size(2) != y.dim_size(2)) {
    return errors::InvalidArgument("X and Y must have the same number of channels, got ", x.dim_size(2), " and ",
                                   y.dim_size(2));
  }
  if (!problem->is_gram() && x.dim_size(0) != y.dim_size(0)) {
    return errors::InvalidArgument("X and Y must hold the same number of paths, got ", x.dim_size(0), " and ",
                                   y.dim_size(0), "; signature_kernel_gram takes all pairs.");
  }
  const Tensor& variance = context->input(2);
  if (variance.dims() != 0 || !std::isfinite(variance.scalar<T>()())) {
    return errors::InvalidArgument("variance must be one finite number, got ", variance.DebugString());
  }
  problem->X = AsPaths<T>(x);
  problem->Y = AsPaths<T>(y);
  problem->variance = variance.scalar<T>()();
  return absl::OkStatus();
}

template <class T>
T LargestIncrement(const KernelProblem<T>& problem, int64_t a, int64_t b) {
  const Paths<T>&X = problem.X, &Y = problem.Y;
  const int64_t D = X.channels;
  const T* x = X.values + a * X.length * D;
  const T* y = Y.values + b * Y.length * D;
  T largest = 0;
  for (int64_t i = 0; i < X.segments(); ++i)
    for (int64_t j = 0; j < Y.segments(); ++j) {
      T p = 0;
      for (int64_t d = 0; d < D; ++d)
        p += (x[(i + 1) * D + d] - x[i * D + d]) * (y[(j + 1) * D + d] - y[j * D + d]);
      largest = std::max(largest, std::abs(p));
    }
  return largest;
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
    return errors::InvalidArgument("the signature kernel of ", where, " overflows ", dtype, cure);
  }
  return errors::InvalidArgument("the signature kernel of ", where, " overflows ", dtype,
                                 ", or cancels so far that the power series does not reach its tolerance", cure);
}

template <class T>
std::string DescribePair(const KernelProblem<T>& problem, int64_t pair) {
  const int64_t a = problem.is_gram() ? pair / problem.Y.count : pair;
  const int64_t b = problem.is_gram() ? pair % problem.Y.count : pair;
  const std::string names =
      tensorflow::strings::StrCat("X[", a, "] and ", problem.is_symmetric() ? "X" : "Y", "[", b, "]");
  if (problem.static_kernel == StaticKernel::kRbf) {
    return tensorflow::strings::StrCat(names, ", under an RBF static kernel of variance ", problem.variance, ",");
  }
  return tensorflow::strings::StrCat(names, ", whose increments have inner products up to ",
                                     LargestIncrement(problem, a, b), ",");
}

template <class T>
class SignatureKernelOp : public OpKernel {
 public:
  explicit SignatureKernelOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    if (!problem.is_symmetric()) OP_REQUIRES_OK(context, CheckFinite<T>(context->input(1), "Y"));
    tensorflow::TensorShape shape({problem.X.count});
    if (problem.is_gram()) shape.AddDim(problem.Y.count);
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &plan));
    Plan* plans = plan->flat<Plan>().data();
    signature_kernel<T>(problem, WorkerThreads(context), k->flat<T>().data(), plans);
    OP_REQUIRES_OK(context, CheckPlans<T>(plans, problem.pairs(), [&](int64_t pair) {
                     return DescribePair(problem, pair);
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class DirectionalDerivativeOp : public OpKernel {
 public:
  explicit DirectionalDerivativeOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    const Tensor& direction = context->input(3);
    OP_REQUIRES(context, direction.shape() == context->input(0).shape(),
                errors::InvalidArgument("direction must have X's shape ", context->input(0).shape().DebugString(),
                                        ", got ", direction.shape().DebugString()));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(1), "Y"));
    OP_REQUIRES_OK(context, CheckFinite<T>(direction, "direction"));
    Tensor *k = nullptr, *derivative = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.X.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.X.count}, &derivative));
    std::vector<Plan> plan(problem.pairs());
    signature_kernel_directional<T>(problem, direction.flat<T>().data(), WorkerThreads(context), k->flat<T>().data(),
                                    derivative->flat<T>().data(), plan.data());
    OP_REQUIRES_OK(context, CheckPlans<T>(plan.data(), problem.pairs(), [&](int64_t pair) {
                     return DescribePair(problem, pair);
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class SignatureKernelGradOp : public OpKernel {
 public:
  explicit SignatureKernelGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    const Tensor &plan = context->input(3), &upstream = context->input(4);
    OP_REQUIRES(context, plan.NumElements() == problem.pairs() && upstream.NumElements() == problem.pairs(),
                errors::InvalidArgument("plan and upstream must hold one number for each of ", problem.pairs(),
                                        " pairs, got shapes ", plan.shape().DebugString(), " and ",
                                        upstream.shape().DebugString()));
    Tensor *dx = nullptr, *dy = nullptr, *d_variance = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &dx));
    // For a symmetric pairing the first output holds both arguments' gradient; the second is not read.
    const tensorflow::TensorShape empty({0, 0, 0});
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, problem.is_symmetric() ? empty : context->input(1).shape(), &dy));
    OP_REQUIRES_OK(context, context->allocate_output(2, {}, &d_variance));
    signature_kernel_backward<T>(problem, WorkerThreads(context), plan.flat<Plan>().data(), upstream.flat<T>().data(),
                                 dx->flat<T>().data(), dy->flat<T>().data(), d_variance->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
absl::Status ReadIncrements(OpKernelContext* context, GoursatProblem<T>* problem) {
  const Tensor& increments = context->input(0);
  if (increments.dims() != 3) {
    return errors::InvalidArgument("increments must have rank 3 here, got shape ", increments.shape().DebugString());
  }
  problem->increments = increments.flat<T>().data();
  problem->count = increments.dim_size(0);
  problem->rows = increments.dim_size(1);
  problem->columns = increments.dim_size(2);
  return absl::OkStatus();
}

template <class T>
absl::Status CheckIncrements(const GoursatProblem<T>& problem) {
  const T* end = problem.increments + problem.count * problem.rows * problem.columns;
  const T* bad = std::find_if_not(problem.increments, end, [](T value) { return std::isfinite(value); });
  if (bad == end) return absl::OkStatus();
  const int64_t at = bad - problem.increments;
  return errors::InvalidArgument("increments must be finite; problem ", at / (problem.rows * problem.columns), " has ",
                                 *bad, " at row ", at / problem.columns % problem.rows, ", column ",
                                 at % problem.columns);
}

template <class T>
class SolveGoursatOp : public OpKernel {
 public:
  explicit SolveGoursatOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override try {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    OP_REQUIRES_OK(context, CheckIncrements(problem));
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.count}, &plan));
    Plan* plans = plan->flat<Plan>().data();
    solve_goursat<T>(problem, WorkerThreads(context), k->flat<T>().data(), plans);
    OP_REQUIRES_OK(context, CheckPlans<T>(plans, problem.count, [&](int64_t n) {
                     const int64_t size = problem.rows * problem.columns;
                     const T* p = problem.increments + n * size;
                     T largest = 0;
                     for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(p[i]));
                     return tensorflow::strings::StrCat("increments[", n, "], which reach ", largest, ",");
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  GoursatProblem<T> problem_;
};

template <class T>
class SolveGoursatGradOp : public OpKernel {
 public:
  explicit SolveGoursatGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override try {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    const Tensor &plan = context->input(1), &upstream = context->input(2);
    OP_REQUIRES(context, plan.NumElements() == problem.count && upstream.NumElements() == problem.count,
                errors::InvalidArgument("plan and upstream must hold one number for each of ", problem.count,
                                        " problems"));
    Tensor* d_increments = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_increments));
    solve_goursat_backward<T>(problem, WorkerThreads(context), plan.flat<Plan>().data(), upstream.flat<T>().data(),
                              d_increments->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  GoursatProblem<T> problem_;
};

#define SIGKERNEL_REGISTER(NAME, OP)                                                              \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<float>("T"), OP<float>);   \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<double>("T"), OP<double>);
SIGKERNEL_REGISTER("SigkernelTfSignatureKernel", SignatureKernelOp)
SIGKERNEL_REGISTER("SigkernelTfSignatureKernelGrad", SignatureKernelGradOp)
SIGKERNEL_REGISTER("SigkernelTfDirectionalDerivative", DirectionalDerivativeOp)
SIGKERNEL_REGISTER("SigkernelTfSolveGoursat", SolveGoursatOp)
SIGKERNEL_REGISTER("SigkernelTfSolveGoursatGrad", SolveGoursatGradOp)
#undef SIGKERNEL_REGISTER

}  // namespace
}  // namespace sigkernel
