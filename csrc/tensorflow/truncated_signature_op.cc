// The truncated signature of paths and its gradient: inputs, attributes, shapes and kernels. What they compute is
// documented in Python.

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/device_op.h"
#include "tensorflow/path_inputs.h"

namespace sigkernel {
namespace {

namespace shape_inference = tensorflow::shape_inference;

absl::Status SignatureShape(shape_inference::InferenceContext* c) {
  shape_inference::ShapeHandle paths;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &paths));
  int64_t num_words;
  bool stream;
  TF_RETURN_IF_ERROR(c->GetAttr("num_words", &num_words));
  TF_RETURN_IF_ERROR(c->GetAttr("stream", &stream));
  const auto count = c->Dim(paths, 0), length = c->Dim(paths, 1), words = c->MakeDim(num_words);
  c->set_output(0, stream ? c->MakeShape({count, length, words}) : c->MakeShape({count, words}));
  return absl::OkStatus();
}

REGISTER_OP("SigkernelTfSignature")
    .Input("paths: T")
    .Output("signature: T")
    .Attr("T: {float, double}")
    .Attr("num_words: int >= 1")
    .Attr("stream: bool")
    .SetShapeFn(SignatureShape);

REGISTER_OP("SigkernelTfSignatureGrad")
    .Input("paths: T")
    .Input("signature: T")
    .Input("upstream: T")
    .Output("d_paths: T")
    .Attr("T: {float, double}")
    .Attr("num_words: int >= 1")
    .Attr("stream: bool")
    .SetShapeFn(shape_inference::UnchangedShape);

constexpr ScratchMemory kSignatureMemory = {"the signatures' scratch", "Pass fewer paths at a time or fewer words"};

template <class T>
absl::Status ResultShape(const SignatureProblem<T>& problem, TensorShape* shape) {
  absl::Status status = shape->AddDimWithStatus(problem.count);
  if (problem.stream) status.Update(shape->AddDimWithStatus(problem.length));
  status.Update(shape->AddDimWithStatus(problem.num_words));
  if (status.ok()) return status;
  return errors::InvalidArgument("the signatures are too many to count: ", problem.num_words, " words for each of ",
                                 problem.rows(), " rows of ", problem.count, " paths. Lower the depth.");
}

// What the two ops share.
template <class Device, class T>
class SignatureOp : public DeviceOp<Device, SignatureProblem<T>> {
 public:
  explicit SignatureOp(OpKernelConstruction* context)
      : DeviceOp<Device, SignatureProblem<T>>(context, kSignatureMemory) {
    OP_REQUIRES_OK(context, context->GetAttr("num_words", &this->attributes_.num_words));
    OP_REQUIRES_OK(context, context->GetAttr("stream", &this->attributes_.stream));
  }

 protected:
  absl::Status ReadInputs(OpKernelContext* context, SignatureProblem<T>* problem) const override {
    const Tensor& paths = context->input(0);
    TF_RETURN_IF_ERROR(CheckPathsShape(paths, "X"));
    *problem = {paths.flat<T>().data(), paths.dim_size(0),  paths.dim_size(1),
                paths.dim_size(2),      problem->num_words, problem->stream};
    return absl::OkStatus();
  }
};

template <class Device, class T>
class TruncatedSignatureOp final : public SignatureOp<Device, T> {
  using SignatureOp<Device, T>::SignatureOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const SignatureProblem<T>& problem) const override {
    // Where the CPU's core sums all increments into the words of one letter, a NaN or infinity of X shows in the result,
    // and X is searched only if the result is not finite.
    const bool sums_all = problem.channels > 1 && problem.num_words > problem.channels && problem.length > 1;
    const bool shows = Device::kIsHost && sums_all;
    if (!shows) TF_RETURN_IF_ERROR(CheckFinite<T>(device, context->input(0), "X"));
    TensorShape shape;
    TF_RETURN_IF_ERROR(ResultShape(problem, &shape));
    Tensor* result = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &result));
    const int64_t first = device.signature(problem, result->flat<T>().data());
    if (first < 0) return absl::OkStatus();
    TF_RETURN_IF_ERROR(CheckFinite<T>(device, context->input(0), "X"));
    return errors::InvalidArgument("the signature of X[", first, "] overflows ", sizeof(T) == 4 ? "float32" : "float64",
                                   ". Rescale the paths (divide them by a constant, or standardize them), or lower the "
                                   "depth.");
  }
};

template <class Device, class T>
class TruncatedSignatureGradOp final : public SignatureOp<Device, T> {
  using SignatureOp<Device, T>::SignatureOp;

  absl::Status Run(OpKernelContext* context, const Device& device, const SignatureProblem<T>& problem) const override {
    const Tensor &result = context->input(1), &upstream = context->input(2);
    TensorShape shape;
    TF_RETURN_IF_ERROR(ResultShape(problem, &shape));
    if (result.shape() != shape || upstream.shape() != shape) {
      return errors::InvalidArgument("signature and upstream must have shape ", shape.DebugString(), ", got ",
                                     result.shape().DebugString(), " and ", upstream.shape().DebugString());
    }
    Tensor* d_paths = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, context->input(0).shape(), &d_paths));
    device.signature_backward(problem, result.flat<T>().data(), upstream.flat<T>().data(), d_paths->flat<T>().data());
    return absl::OkStatus();
  }
};

SIGKERNEL_REGISTER("SigkernelTfSignature", TruncatedSignatureOp)
SIGKERNEL_REGISTER("SigkernelTfSignatureGrad", TruncatedSignatureGradOp)

}  // namespace
}  // namespace sigkernel
