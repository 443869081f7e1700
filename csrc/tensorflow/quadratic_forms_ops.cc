// Quadratic forms of packed triangular factors: inputs, attributes and shapes. What they are is documented in Python.

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace sigkernel {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status FormsShape(InferenceContext* c) {
  ShapeHandle factors, vectors;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &factors));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &vectors));
  c->set_output(0, c->Matrix(c->Dim(factors, 0), c->Dim(vectors, 1)));
  c->set_output(1, c->MakeShape({c->Dim(factors, 0), c->Dim(vectors, 1), c->Dim(vectors, 0)}));
  return absl::OkStatus();
}

template <int input>
absl::Status SameShape(InferenceContext* c) {
  c->set_output(0, c->input(input));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("SigkernelTfQuadraticForms")
    .Input("factors: T")
    .Input("vectors: T")
    .Output("forms: T")
    .Output("products: T")
    .Attr("T: {float, double}")
    .SetShapeFn(FormsShape);

// Two gradients, so that a graph holds the one it needs.
REGISTER_OP("SigkernelTfQuadraticFormsFactorsGrad")
    .Input("factors: T")
    .Input("vectors: T")
    .Input("products: T")
    .Input("upstream: T")
    .Output("d_factors: T")
    .Attr("T: {float, double}")
    .SetShapeFn(SameShape<0>);

REGISTER_OP("SigkernelTfQuadraticFormsVectorsGrad")
    .Input("factors: T")
    .Input("vectors: T")
    .Input("products: T")
    .Input("upstream: T")
    .Output("d_vectors: T")
    .Attr("T: {float, double}")
    .SetShapeFn(SameShape<1>);

}  // namespace sigkernel
