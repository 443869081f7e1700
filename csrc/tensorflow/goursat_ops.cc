// The solver's operations: inputs, attributes and shapes. What they compute is documented in Python.

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

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
  c->set_output(0, out);
  c->set_output(1, out);
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

absl::Status GoursatShape(InferenceContext* c) {
  ShapeHandle increments;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &increments));
  const ShapeHandle out = c->MakeShape({c->Dim(increments, 0)});
  c->set_output(0, out);
  c->set_output(1, out);
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
  return absl::OkStatus();
}

}  // namespace

#define SIGKERNEL_SOLVER_ATTRS                             \
  Attr("T: {float, double}")                               \
      .Attr("solver: {'power_series', 'finite_difference'}") \
      .Attr("tolerance: float")                            \
      .Attr("dyadic_order: int >= 0")                      \
      .Attr("gradient: {'adjoint', 'theorem_4_1'}")
#define SIGKERNEL_STATIC_KERNEL "static_kernel: {'linear', 'rbf'}"
#define SIGKERNEL_PAIRING "pairing: {'pairs', 'gram', 'symmetric_gram', 'diagonal'}"

// Inputs `variance`: a number, of the RBF static kernel.

REGISTER_OP("SigkernelTfSignatureKernel")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Output("k: T")
    .Output("plan: int32")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .SetShapeFn(KernelShape);

REGISTER_OP("SigkernelTfSignatureKernelGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("plan: int32")
    .Input("upstream: T")
    .Output("dx: T")
    .Output("dy: T")
    .Output("d_variance: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .Attr(SIGKERNEL_PAIRING)
    .SetShapeFn(KernelGradientShape);

REGISTER_OP("SigkernelTfDirectionalDerivative")
    .Input("x: T")
    .Input("y: T")
    .Input("variance: T")
    .Input("direction: T")
    .Output("k: T")
    .Output("derivative: T")
    .SIGKERNEL_SOLVER_ATTRS.Attr(SIGKERNEL_STATIC_KERNEL)
    .SetShapeFn(DirectionalShape);

REGISTER_OP("SigkernelTfSolveGoursat")
    .Input("increments: T")
    .Output("k: T")
    .Output("plan: int32")
    .SIGKERNEL_SOLVER_ATTRS.SetShapeFn(GoursatShape);

REGISTER_OP("SigkernelTfSolveGoursatGrad")
    .Input("increments: T")
    .Input("plan: int32")
    .Input("upstream: T")
    .Output("d_increments: T")
    .SIGKERNEL_SOLVER_ATTRS.SetShapeFn(tensorflow::shape_inference::UnchangedShape);

}  // namespace sigkernel
