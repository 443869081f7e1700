// Quadratic forms of packed triangular factors on the CPU: validate, allocate, call the core.

#include "core/quadratic_forms/quadratic_forms.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/op_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
namespace errors = tensorflow::errors;

absl::Status FormsMemoryError(const std::bad_alloc& failure) {
  return OutOfMemoryError(failure, "the quadratic forms' scratch", "Pass fewer vectors at a time");
}

template <class T>
absl::Status ReadProblem(OpKernelContext* context, QuadraticForms<T>* problem) {
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

template <class T>
class QuadraticFormsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override try {
    QuadraticForms<T> problem;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    Tensor *forms = nullptr, *products = nullptr;
    const TensorShape shape({problem.num_factors, problem.num_vectors});
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &forms));
    TensorShape longer = shape;
    longer.AddDim(problem.size);
    OP_REQUIRES_OK(context, context->allocate_output(1, longer, &products));
    quadratic_forms<T>(problem, WorkerThreads(context), forms->flat<T>().data(), products->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(FormsMemoryError(failure));
  }
};

// `input`: the input whose gradient it is.
template <class T, int input>
class QuadraticFormsGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override try {
    QuadraticForms<T> problem;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    const Tensor &products = context->input(2), &upstream = context->input(3);
    const int64_t rows = problem.num_factors * problem.num_vectors;
    OP_REQUIRES(context, products.NumElements() == rows * problem.size && upstream.NumElements() == rows,
                errors::InvalidArgument("products must be [C, N, M] and upstream [C, N], got shapes ",
                                        products.shape().DebugString(), " and ", upstream.shape().DebugString()));
    Tensor* gradient = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(input).shape(), &gradient));
    constexpr auto backward =
        input == 0 ? &quadratic_forms_backward_factors<T> : &quadratic_forms_backward_vectors<T>;
    backward(problem, WorkerThreads(context), products.flat<T>().data(), upstream.flat<T>().data(),
             gradient->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(FormsMemoryError(failure));
  }
};

template <class T>
using QuadraticFormsFactorsGradOp = QuadraticFormsGradOp<T, 0>;
template <class T>
using QuadraticFormsVectorsGradOp = QuadraticFormsGradOp<T, 1>;

SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfQuadraticForms", QuadraticFormsOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfQuadraticFormsFactorsGrad", QuadraticFormsFactorsGradOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfQuadraticFormsVectorsGrad", QuadraticFormsVectorsGradOp)

}  // namespace
}  // namespace sigkernel
