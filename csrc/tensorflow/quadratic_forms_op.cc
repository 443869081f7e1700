// Quadratic forms of packed triangular factors and their gradients, on the CPU only: inputs, attributes, shapes and
// kernels. What they compute is documented in Python.

#include "core/quadratic_forms/quadratic_forms.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/device_op.h"

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

// What the three ops share.
template <class T>
class FormsOp : public DeviceOp<Cpu, QuadraticForms<T>> {
 public:
  explicit FormsOp(OpKernelConstruction* context)
      : DeviceOp<Cpu, QuadraticForms<T>>(context, {"the quadratic forms' scratch", "Pass fewer vectors at a time"}) {}

 protected:
  absl::Status ReadInputs(OpKernelContext* context, QuadraticForms<T>* problem) const override {
    const Tensor &factors = context->input(0), &vectors = context->input(1);
    const bool are_matrices = factors.dims() == 2 && vectors.dims() == 2;
    const int64_t size = are_matrices ? vectors.dim_size(0) : 0;
    if (size == 0 || factors.dim_size(1) != size * (size + 1) / 2) {
      return errors::InvalidArgument("factors must be [C, M (M + 1) / 2] and vectors [M, N], M at least 1, got shapes ",
                                     factors.shape().DebugString(), " and ", vectors.shape().DebugString());
    }
    *problem = {factors.dim_size(0), size, vectors.dim_size(1), factors.flat<T>().data(), vectors.flat<T>().data()};
    return absl::OkStatus();
  }
};

template <class Device, class T>
class QuadraticFormsOp final : public FormsOp<T> {
  using FormsOp<T>::FormsOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const QuadraticForms<T>& problem) const override {
    const TensorShape shape({problem.num_factors, problem.num_vectors});
    TensorShape longer = shape;
    longer.AddDim(problem.size);
    Tensor *forms = nullptr, *products = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &forms));
    TF_RETURN_IF_ERROR(context->allocate_output(1, longer, &products));
    quadratic_forms<T>(problem, device.parallel_for(), forms->flat<T>().data(), products->flat<T>().data());
    return absl::OkStatus();
  }
};

// `input`: the input whose gradient it is.
template <class Device, class T, int input>
class QuadraticFormsGradOp final : public FormsOp<T> {
  using FormsOp<T>::FormsOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const QuadraticForms<T>& problem) const override {
    const Tensor &products = context->input(2), &upstream = context->input(3);
    const int64_t rows = problem.num_factors * problem.num_vectors;
    if (products.NumElements() != rows * problem.size || upstream.NumElements() != rows) {
      return errors::InvalidArgument("products must be [C, N, M] and upstream [C, N], got shapes ",
                                     products.shape().DebugString(), " and ", upstream.shape().DebugString());
    }
    Tensor* gradient = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, context->input(input).shape(), &gradient));
    constexpr auto backward =
        input == 0 ? &quadratic_forms_backward_factors<T> : &quadratic_forms_backward_vectors<T>;
    backward(problem, device.parallel_for(), products.flat<T>().data(), upstream.flat<T>().data(),
             gradient->flat<T>().data());
    return absl::OkStatus();
  }
};

template <class Device, class T>
using QuadraticFormsFactorsGradOp = QuadraticFormsGradOp<Device, T, 0>;
template <class Device, class T>
using QuadraticFormsVectorsGradOp = QuadraticFormsGradOp<Device, T, 1>;

SIGKERNEL_REGISTER_ON(Cpu, "SigkernelTfQuadraticForms", QuadraticFormsOp)
SIGKERNEL_REGISTER_ON(Cpu, "SigkernelTfQuadraticFormsFactorsGrad", QuadraticFormsFactorsGradOp)
SIGKERNEL_REGISTER_ON(Cpu, "SigkernelTfQuadraticFormsVectorsGrad", QuadraticFormsVectorsGradOp)

}  // namespace
}  // namespace sigkernel
