// The signature kernel of paths, its gradient and its directional derivative: inputs, attributes, shapes and kernels.
// What they compute is documented in Python.

#include <cmath>
#include <string>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/kernel_errors.h"
#include "tensorflow/path_inputs.h"
#include "tensorflow/solver.h"
#include "tensorflow/window_inputs.h"

namespace sigkernel {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status KernelShape(InferenceContext* c) {
  ShapeHandle x, y, out;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &x));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 3, &y));
  DimensionHandle channels, pairs;
  ShapeHandle variance;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 0, &variance));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 2), c->Dim(y, 2), &channels));
  std::string pairing;
  TF_RETURN_IF_ERROR(c->GetAttr("pairing", &pairing));
  if (pairing == "gram" || pairing == "symmetric_gram") {
    out = c->MakeShape({c->Dim(x, 0), c->Dim(y, 0)});
  } else {
    TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 0), c->Dim(y, 0), &pairs));
    out = c->MakeShape({pairs});
  }
  for (int n = 0; n < c->num_outputs(); ++n) c->set_output(n, out);
  return absl::OkStatus();
}

absl::Status DirectionalShape(InferenceContext* c) {
  ShapeHandle x, y, direction;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &x));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 3, &y));
  TF_RETURN_IF_ERROR(c->Merge(x, c->input(3), &direction));
  DimensionHandle channels, pairs;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 2), c->Dim(y, 2), &channels));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 0), c->Dim(y, 0), &pairs));
  c->set_output(0, c->MakeShape({pairs}));
  c->set_output(1, c->MakeShape({pairs}));
  return absl::OkStatus();
}

bool IsSymmetric(const std::string& pairing) { return pairing == "symmetric_gram" || pairing == "diagonal"; }

// Gradients have their inputs' shapes. A symmetric pairing has one: its second output is empty.
absl::Status KernelGradientShape(InferenceContext* c) {
  std::string pairing;
  TF_RETURN_IF_ERROR(c->GetAttr("pairing", &pairing));
  c->set_output(0, c->input(0));
  c->set_output(1, IsSymmetric(pairing) ? c->MakeShape({0, 0, 0}) : c->input(1));
  c->set_output(2, c->Scalar());
  if (c->num_outputs() > 3) c->set_output(3, c->input(c->num_inputs() - 1));  // of the windows' factors
  return absl::OkStatus();
}

#define SIGKERNEL_STATIC_KERNEL "static_kernel: {'linear', 'rbf', 'matern12', 'matern32', 'matern52'}"
#define SIGKERNEL_PAIRING "pairing: {'pairs', 'gram', 'symmetric_gram', 'diagonal'}"
#define SIGKERNEL_EXTENDED_RANGE "extended_range: bool = false"  // whether k may be beyond the largest number: see Plan

// The inputs `variance` are one number each, the variance of a static kernel that is not linear. Where nothing is
// differenced, `x_lengths` and `y_lengths` say how many points of each path count; otherwise they are not read.

REGISTER_OP("SigkernelTfSignatureKernel")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("x_lengths: int32")
    .Input("y_lengths: int32")
    .Output("k: T")
    .Output("plan: int32")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .Attr(SIGKERNEL_EXTENDED_RANGE)
    .Attr("difference: bool")
    .SetShapeFn(KernelShape);

REGISTER_OP("SigkernelTfSignatureKernelWeights")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("x_lengths: int32")
    .Input("y_lengths: int32")
    .Output("k: T")
    .Output("plan: int32")
    .Output("largest: T")
    .Output("of_increments: T")
    .Output("reversed: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .Attr("difference: bool")
    .Attr("is_scaled: bool")
    .SetShapeFn(KernelShape);

REGISTER_OP("SigkernelTfSignatureKernelGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("x_lengths: int32")
    .Input("y_lengths: int32")
    .Input("plan: int32")
    .Input("upstream: T")
    .Output("dx: T")
    .Output("dy: T")
    .Output("d_variance: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .Attr(SIGKERNEL_EXTENDED_RANGE)
    .Attr("difference: bool")
    .SetShapeFn(KernelGradientShape);

// The same of points that are windows of the paths' values. `x_lengths` and `y_lengths` always say how many values of
// each path count, and `factors` are those of Windows in goursat.h.

REGISTER_OP("SigkernelTfWindowKernel")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("x_lengths: int32")
    .Input("y_lengths: int32")
    .Input("factors: T")
    .Output("k: T")
    .Output("plan: int32")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .Attr(SIGKERNEL_EXTENDED_RANGE)
    .SIGKERNEL_WINDOW_ATTRS.SetShapeFn(KernelShape);

REGISTER_OP("SigkernelTfWindowKernelGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("x_lengths: int32")
    .Input("y_lengths: int32")
    .Input("plan: int32")
    .Input("upstream: T")
    .Input("factors: T")
    .Output("dx: T")
    .Output("dy: T")
    .Output("d_variance: T")
    .Output("d_factors: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .Attr(SIGKERNEL_EXTENDED_RANGE)
    .SIGKERNEL_WINDOW_ATTRS.SetShapeFn(KernelGradientShape);

REGISTER_OP("SigkernelTfDirectionalDerivative")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("direction: T")
    .Output("k: T")
    .Output("derivative: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .SetShapeFn(DirectionalShape);

template <class T>
absl::Status ReadAttributes(OpKernelConstruction* context, KernelProblem<T>* problem) {
  TF_RETURN_IF_ERROR(ReadSolver(context, &problem->solver));
  std::string static_kernel, pairing = "pairs";  // the directional derivative has no such attribute
  TF_RETURN_IF_ERROR(context->GetAttr("static_kernel", &static_kernel));
  if (context->HasAttr("pairing")) TF_RETURN_IF_ERROR(context->GetAttr("pairing", &pairing));
  if (context->HasAttr("extended_range")) {
    TF_RETURN_IF_ERROR(context->GetAttr("extended_range", &problem->solver.extended_range));
  }
  if (context->HasAttr("window")) TF_RETURN_IF_ERROR(ReadWindows(context, &problem->windows));
  if (context->HasAttr("is_scaled")) TF_RETURN_IF_ERROR(context->GetAttr("is_scaled", &problem->is_scaled));
  if (context->HasAttr("difference")) TF_RETURN_IF_ERROR(context->GetAttr("difference", &problem->difference));
  problem->static_kernel = static_kernel == "linear"     ? StaticKernel::kLinear
                           : static_kernel == "rbf"      ? StaticKernel::kRbf
                           : static_kernel == "matern12" ? StaticKernel::kMatern12
                           : static_kernel == "matern32" ? StaticKernel::kMatern32
                                                         : StaticKernel::kMatern52;
  problem->pairing = pairing == "pairs"            ? Pairing::kPairs
                     : pairing == "gram"           ? Pairing::kGram
                     : pairing == "symmetric_gram" ? Pairing::kSymmetricGram
                                                   : Pairing::kDiagonal;
  return absl::OkStatus();
}

template <class T>
Paths<T> AsPaths(const Tensor& tensor) {
  return {tensor.flat<T>().data(), tensor.dim_size(0), tensor.dim_size(1), tensor.dim_size(2)};
}

// The variance's place in the device's memory.
template <class T>
const T* Variance(OpKernelContext* context) {
  return context->input(2).flat<T>().data();
}

// What the ops share.
template <class Device, class T>
class KernelOp : public DeviceOp<Device, KernelProblem<T>> {
 public:
  explicit KernelOp(OpKernelConstruction* context) : DeviceOp<Device, KernelProblem<T>>(context, kSweepMemory) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &this->attributes_));
    OP_REQUIRES_OK(context, CheckDevice());
  }

 protected:
  absl::Status ReadInputs(OpKernelContext* context, KernelProblem<T>* problem) const override {
    const Tensor &x = context->input(0), &y = context->input(1), &variance = context->input(2);
    TF_RETURN_IF_ERROR(CheckPathsShape(x, "X"));
    TF_RETURN_IF_ERROR(CheckPathsShape(y, "Y"));
    if (x.dim_size(2) != y.dim_size(2)) {
      return errors::InvalidArgument("X and Y must have the same number of channels, got ", x.dim_size(2), " and ",
                                     y.dim_size(2));
    }
    if (problem->is_symmetric() && x.shape() != y.shape()) {
      return errors::InvalidArgument("a symmetric pairing takes X as Y too, got shapes ", x.shape().DebugString(),
                                     " and ", y.shape().DebugString(), ".");
    }
    if (!problem->is_gram() && x.dim_size(0) != y.dim_size(0)) {
      return errors::InvalidArgument("X and Y must hold the same number of paths, got ", x.dim_size(0), " and ",
                                     y.dim_size(0), "; signature_kernel_gram takes all pairs.");
    }
    if (variance.dims() != 0) {
      return errors::InvalidArgument("variance must be one number, got shape ", variance.shape().DebugString());
    }
    if constexpr (Device::kIsHost) {
      if (!std::isfinite(variance.scalar<T>()())) {
        return errors::InvalidArgument("variance must be one finite number, got ", variance.DebugString());
      }
    }
    problem->X = AsPaths<T>(x);
    problem->Y = AsPaths<T>(y);
    if (problem->windows.are_cut()) TF_RETURN_IF_ERROR(ReadFactors(context, *problem, &problem->windows));
    if (problem->difference && !problem->windows.are_cut()) return absl::OkStatus();
    TF_RETURN_IF_ERROR(ReadLengths(context->input(3), "x_lengths", &problem->X));
    return ReadLengths(context->input(4), "y_lengths", &problem->Y);
  }

  // One kernel for each pair.
  static TensorShape KernelsShape(const KernelProblem<T>& problem) {
    return problem.is_gram() ? TensorShape({problem.X.count, problem.Y.count}) : TensorShape({problem.X.count});
  }

  static absl::Status CheckPathsAreFinite(OpKernelContext* context, const Device& device,
                                          const KernelProblem<T>& problem) {
    TF_RETURN_IF_ERROR(CheckFinite<T>(device, context->input(0), "X"));
    return problem.is_symmetric() ? absl::OkStatus() : CheckFinite<T>(device, context->input(1), "Y");
  }

  // What the GPU's solver does not know yet.
  absl::Status CheckDevice() const {
    const KernelProblem<T>& problem = this->attributes_;
    const bool knows = problem.static_kernel == StaticKernel::kLinear || problem.static_kernel == StaticKernel::kRbf;
    if (Device::kIsHost || (problem.difference && knows)) return absl::OkStatus();
    return errors::Unimplemented(
        problem.difference ? strings::StrCat(NameOf(problem.static_kernel), " static kernel")
                           : std::string("difference=False"),
        " is offered on the CPU only, for now. Call the operation inside `with tf.device(\"CPU\"):`.");
  }

  static absl::Status ReadLengths(const Tensor& lengths, const char* name, Paths<T>* paths) {
    if (lengths.dims() != 1 || lengths.dim_size(0) != paths->count) {
      return errors::InvalidArgument(name, " must hold one number for each of the ", paths->count, " paths, got shape ",
                                     lengths.shape().DebugString());
    }
    paths->lengths = lengths.flat<int32_t>().data();
    if constexpr (!Device::kIsHost) return absl::OkStatus();
    for (int64_t n = 0; n < paths->count; ++n)
      if (paths->lengths[n] < 1 || paths->lengths[n] > paths->length) {
        return errors::InvalidArgument(name, " must be from 1 to ", paths->length, ", the paths' number of points, got ",
                                       paths->lengths[n], " for path ", n);
      }
    return absl::OkStatus();
  }

  static absl::Status CheckPairs(OpKernelContext* context, const Device& device, const KernelProblem<T>& problem,
                                 const Plan* plans) {
    return CheckPlans<T>(device, plans, problem.pairs(), [&](int64_t pair) {
      return DescribePair<Device>(problem, Variance<T>(context), pair);
    });
  }
};

// kWeighs: whether it also returns how much errors on the way weigh in each k.
template <class Device, class T, bool kWeighs>
class ForwardOp final : public KernelOp<Device, T> {
  using KernelOp<Device, T>::KernelOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const KernelProblem<T>& problem) const override {
    TF_RETURN_IF_ERROR(this->CheckPathsAreFinite(context, device, problem));
    const TensorShape shape = this->KernelsShape(problem);
    Tensor *k = nullptr, *plan = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &k));
    TF_RETURN_IF_ERROR(context->allocate_output(1, shape, &plan));
    T* values = k->flat<T>().data();
    Plan* plans = plan->flat<Plan>().data();
    if constexpr (kWeighs) {
      ErrorWeights<T> weights;
      TF_RETURN_IF_ERROR(AllocateWeights(context, shape, &weights));
      device.signature_kernel(problem, Variance<T>(context), values, plans, weights);
      return this->CheckPairs(context, device, problem, plans);
    } else {
      device.signature_kernel(problem, Variance<T>(context), values, plans);
      TF_RETURN_IF_ERROR(this->CheckPairs(context, device, problem, plans));
      return CheckBounds<Device>(problem, Variance<T>(context), values, plans);
    }
  }
};
template <class Device, class T>
using SignatureKernelOp = ForwardOp<Device, T, false>;
template <class Device, class T>
using SignatureKernelWeightsOp = ForwardOp<Device, T, true>;

template <class Device, class T>
class SignatureKernelGradOp final : public KernelOp<Device, T> {
  using KernelOp<Device, T>::KernelOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const KernelProblem<T>& problem) const override {
    const Tensor &plan = context->input(5), &upstream = context->input(6);
    TF_RETURN_IF_ERROR((CheckSolved<T, Device>(problem.solver, plan, upstream, this->KernelsShape(problem))));
    // For a symmetric pairing the first gradient is both arguments'; the second is not read.
    const TensorShape dy_shape = problem.is_symmetric() ? TensorShape({0, 0, 0}) : context->input(1).shape();
    Tensor *dx = nullptr, *dy = nullptr, *d_variance = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, context->input(0).shape(), &dx));
    TF_RETURN_IF_ERROR(context->allocate_output(1, dy_shape, &dy));
    TF_RETURN_IF_ERROR(context->allocate_output(2, {}, &d_variance));
    const auto run = [&](auto*... d_factors) {
      device.signature_kernel_backward(problem, Variance<T>(context), plan.flat<Plan>().data(),
                                       upstream.flat<T>().data(), dx->flat<T>().data(), dy->flat<T>().data(),
                                       d_variance->flat<T>().data(), d_factors...);
      return absl::OkStatus();
    };
    if constexpr (Device::kIsHost) {
      if (problem.windows.are_cut()) {
        Tensor* d_factors = nullptr;
        TF_RETURN_IF_ERROR(context->allocate_output(3, context->input(7).shape(), &d_factors));
        return run(d_factors->flat<T>().data());
      }
    }
    return run();
  }
};

template <class Device, class T>
class DirectionalDerivativeOp final : public KernelOp<Device, T> {
  using KernelOp<Device, T>::KernelOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const KernelProblem<T>& problem) const override {
    const Tensor &x = context->input(0), &direction = context->input(3);
    if (direction.shape() != x.shape()) {
      return errors::InvalidArgument("direction must have X's shape ", x.shape().DebugString(), ", got ",
                                     direction.shape().DebugString());
    }
    TF_RETURN_IF_ERROR(this->CheckPathsAreFinite(context, device, problem));
    TF_RETURN_IF_ERROR(CheckFinite<T>(device, direction, "direction"));
    const TensorShape shape({problem.pairs()});
    Tensor *k = nullptr, *derivative = nullptr, plan;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &k));
    TF_RETURN_IF_ERROR(context->allocate_output(1, shape, &derivative));
    TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_INT32, shape, &plan));
    Plan* plans = plan.flat<Plan>().data();
    device.signature_kernel_directional(problem, Variance<T>(context), direction.flat<T>().data(), k->flat<T>().data(),
                                        derivative->flat<T>().data(), plans);
    return this->CheckPairs(context, device, problem, plans);
  }
};

SIGKERNEL_REGISTER("SigkernelTfSignatureKernel", SignatureKernelOp)
SIGKERNEL_REGISTER_CPU_ONLY("SigkernelTfSignatureKernelWeights", SignatureKernelWeightsOp)
SIGKERNEL_REGISTER("SigkernelTfSignatureKernelGrad", SignatureKernelGradOp)
SIGKERNEL_REGISTER_ON(Cpu, "SigkernelTfWindowKernel", SignatureKernelOp)
SIGKERNEL_REGISTER_ON(Cpu, "SigkernelTfWindowKernelGrad", SignatureKernelGradOp)
SIGKERNEL_REGISTER("SigkernelTfDirectionalDerivative", DirectionalDerivativeOp)

}  // namespace
}  // namespace sigkernel
