// Goursat problems of given increments, and their gradient: inputs, attributes, shapes and kernels. What they compute
// is documented in Python.

#include <algorithm>
#include <cmath>
#include <string>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/solver.h"

namespace sigkernel {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status GoursatShape(InferenceContext* c) {
  ShapeHandle increments;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &increments));
  const ShapeHandle out = c->MakeShape({c->Dim(increments, 0)});
  for (int n = 0; n < c->num_outputs(); ++n) c->set_output(n, out);
  return absl::OkStatus();
}

REGISTER_OP("SigkernelTfSolveGoursat")
    .Input("increments: T")
    .Output("k: T")
    .Output("plan: int32")
    .SIGKERNEL_SOLVER_ATTRS.SetShapeFn(GoursatShape);

REGISTER_OP("SigkernelTfSolveGoursatWeights")
    .Input("increments: T")
    .Output("k: T")
    .Output("plan: int32")
    .Output("largest: T")
    .Output("of_increments: T")
    .Output("reversed: T")
    .SIGKERNEL_SOLVER_ATTRS.SetShapeFn(GoursatShape);

REGISTER_OP("SigkernelTfSolveGoursatGrad")
    .Input("increments: T")
    .Input("plan: int32")
    .Input("upstream: T")
    .Output("d_increments: T")
    .SIGKERNEL_SOLVER_ATTRS.SetShapeFn(tensorflow::shape_inference::UnchangedShape);

// Names the problem, row and column of the first NaN or infinity, where the device checks numerics.
template <class T, class Device>
absl::Status CheckIncrements(const Device& device, const GoursatProblem<T>& problem) {
  if (!device.checks_numerics) return absl::OkStatus();
  const int64_t size = problem.rows * problem.columns;
  const int64_t first = device.FirstNotFinite(problem.increments, problem.count * size);
  if (first < 0) return absl::OkStatus();
  return errors::InvalidArgument("increments must be finite; problem ", first / size, " has ",
                                 device.Read(problem.increments + first), " at row ",
                                 first / problem.columns % problem.rows, ", column ", first % problem.columns);
}

// A problem by its place and, where its increments can be read, by the largest of them.
template <class Device, class T>
std::string DescribeProblem(const GoursatProblem<T>& problem, int64_t n) {
  const std::string name = strings::StrCat("increments[", n, "]");
  if constexpr (!Device::kIsHost) return name;
  const int64_t size = problem.rows * problem.columns;
  const T* p = problem.increments + n * size;
  T largest = 0;
  for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(p[i]));
  return strings::StrCat(name, ", which reach ", largest, ",");
}

// What the two ops share.
template <class Device, class T>
class GoursatOp : public DeviceOp<Device, GoursatProblem<T>> {
 public:
  explicit GoursatOp(OpKernelConstruction* context) : DeviceOp<Device, GoursatProblem<T>>(context, kSweepMemory) {
    OP_REQUIRES_OK(context, ReadSolver(context, &this->attributes_.solver));
  }

 protected:
  absl::Status ReadInputs(OpKernelContext* context, GoursatProblem<T>* problem) const override {
    const Tensor& increments = context->input(0);
    if (increments.dims() != 3) {
      return errors::InvalidArgument("increments must have rank 3 here, got shape ", increments.shape().DebugString());
    }
    *problem = {increments.flat<T>().data(), increments.dim_size(0), increments.dim_size(1), increments.dim_size(2),
                problem->solver};
    return absl::OkStatus();
  }
};

// kWeighs: whether it also returns how much errors on the way weigh in each k.
template <class Device, class T, bool kWeighs>
class ForwardOp final : public GoursatOp<Device, T> {
  using GoursatOp<Device, T>::GoursatOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const GoursatProblem<T>& problem) const override {
    TF_RETURN_IF_ERROR(CheckIncrements(device, problem));
    const TensorShape shape({problem.count});
    Tensor *k = nullptr, *plan = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &k));
    TF_RETURN_IF_ERROR(context->allocate_output(1, shape, &plan));
    T* values = k->flat<T>().data();
    Plan* plans = plan->flat<Plan>().data();
    if constexpr (kWeighs) {
      ErrorWeights<T> weights;
      TF_RETURN_IF_ERROR(AllocateWeights(context, shape, &weights));
      device.solve_goursat(problem, values, plans, weights);
    } else {
      device.solve_goursat(problem, values, plans);
    }
    return CheckPlans<T>(device, plans, problem.count, [&](int64_t n) { return DescribeProblem<Device>(problem, n); });
  }
};
template <class Device, class T>
using SolveGoursatOp = ForwardOp<Device, T, false>;
template <class Device, class T>
using SolveGoursatWeightsOp = ForwardOp<Device, T, true>;

template <class Device, class T>
class SolveGoursatGradOp final : public GoursatOp<Device, T> {
  using GoursatOp<Device, T>::GoursatOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const GoursatProblem<T>& problem) const override {
    const Tensor &plan = context->input(1), &upstream = context->input(2);
    TF_RETURN_IF_ERROR((CheckSolved<T, Device>(problem.solver, plan, upstream, TensorShape({problem.count}))));
    Tensor* d_increments = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, context->input(0).shape(), &d_increments));
    device.solve_goursat_backward(problem, plan.flat<Plan>().data(), upstream.flat<T>().data(),
                                  d_increments->flat<T>().data());
    return absl::OkStatus();
  }
};

SIGKERNEL_REGISTER("SigkernelTfSolveGoursat", SolveGoursatOp)
SIGKERNEL_REGISTER_CPU_ONLY("SigkernelTfSolveGoursatWeights", SolveGoursatWeightsOp)
SIGKERNEL_REGISTER("SigkernelTfSolveGoursatGrad", SolveGoursatGradOp)

}  // namespace
}  // namespace sigkernel
